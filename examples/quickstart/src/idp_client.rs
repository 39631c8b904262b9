//! The token endpoint as a confidential client uses it.

use serde_json::Value;

/// Asks the provider for tokens.
pub(crate) struct IdpClient {
    http: reqwest::Client,
    token_endpoint: String,
}

/// What every application of the tour authenticates with: a throw-away provider's throw-away secret.
pub(crate) const SECRET: &str = "quickstart";

impl IdpClient {
    pub(crate) fn new(token_endpoint: String) -> Self {
        Self { http: reqwest::Client::default(), token_endpoint }
    }

    /// A token for the application itself (RFC 6749 section 4.4).
    pub(crate) async fn client_credentials(
        &self,
        client: &str,
        resource: &str,
        scope: &str,
    ) -> Result<String, Box<dyn std::error::Error>> {
        self.ask(client, &[("grant_type", "client_credentials"), ("resource", resource), ("scope", scope)])
            .await
    }

    /// A narrower token for the same user, with this application as the actor (RFC 8693).
    pub(crate) async fn exchange(
        &self,
        actor: &str,
        subject_token: &str,
        resource: &str,
        scope: &str,
    ) -> Result<String, Box<dyn std::error::Error>> {
        self.ask(
            actor,
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", subject_token),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("resource", resource),
                ("scope", scope),
            ],
        )
        .await
    }

    async fn ask(&self, client: &str, form: &[(&str, &str)]) -> Result<String, Box<dyn std::error::Error>> {
        let request = self.http.post(&self.token_endpoint).basic_auth(client, Some(SECRET)).form(form);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.ok_or("the token endpoint sent no access_token")?.to_owned())
    }
}
