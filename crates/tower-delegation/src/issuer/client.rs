//! [`IssuerClient`]: a client that is for one issuer.

use std::sync::{Arc, OnceLock};

use crate::{
    error::ConfigError,
    http_client::{Fetcher, HttpClient},
};

/// A client of an issuer's own. Clones share what it is set up to, once it is used.
#[derive(Clone, Debug)]
pub(super) struct IssuerClient(Arc<(HttpClient, OnceLock<Fetcher>)>);

impl IssuerClient {
    pub(super) fn new(client: HttpClient) -> Self {
        Self(Arc::new((client, OnceLock::new())))
    }

    pub(super) fn fetcher(&self) -> Result<Fetcher, ConfigError> {
        let (client, known) = &*self.0;
        match known.get() {
            Some(fetcher) => Ok(fetcher.clone()),
            None => {
                let fetcher = client.fetcher()?;
                Ok(known.get_or_init(|| fetcher).clone())
            }
        }
    }
}

impl PartialEq for IssuerClient {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
