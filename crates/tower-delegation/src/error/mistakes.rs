//! [`Mistakes`]: every mistake of a configuration, reported at once.

use super::config_error::ConfigError;

/// Collects what is wrong with a configuration. A mistake does not end the checks:
/// otherwise an operator would find them one deployment at a time.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Option<ConfigError>);

impl Mistakes {
    /// Adds one, or each of several.
    pub(crate) fn add(&mut self, mistake: ConfigError) {
        self.0 = Some(match self.0.take() {
            Some(former) => former.and(mistake),
            None => mistake,
        });
    }

    /// Takes the value out of a result, or adds its mistake.
    pub(crate) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|mistake| self.add(mistake)).ok()
    }

    /// The error to return, if there is any: the mistake itself where it is the only one.
    pub(crate) fn into_result(self) -> Result<(), ConfigError> {
        self.0.map_or(Ok(()), Err)
    }
}

impl ConfigError {
    /// Both, as one error. What reads like a former mistake is the same one, found in
    /// two places.
    pub(crate) fn and(self, other: Self) -> Self {
        let mut mistakes = self.into_each();
        for mistake in other.into_each() {
            let text = mistake.to_string();
            if !mistakes.iter().any(|known| known.to_string() == text) {
                mistakes.push(mistake);
            }
        }
        match mistakes.pop() {
            Some(only) if mistakes.is_empty() => only,
            last => {
                mistakes.extend(last);
                Self::Several { mistakes }
            }
        }
    }

    fn into_each(self) -> Vec<Self> {
        match self {
            Self::Several { mistakes } => mistakes,
            only => vec![only],
        }
    }
}

/// Both values, or the mistakes of both.
pub(crate) fn both<A, B>(
    one: Result<A, ConfigError>,
    other: Result<B, ConfigError>,
) -> Result<(A, B), ConfigError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(mistake), Ok(_)) | (Ok(_), Err(mistake)) => Err(mistake),
        (Err(one), Err(other)) => Err(one.and(other)),
    }
}

/// Every value, or the mistakes of all.
pub(crate) fn all<T>(
    results: impl IntoIterator<Item = Result<T, ConfigError>>,
) -> Result<Vec<T>, ConfigError> {
    let mut mistakes = Mistakes::default();
    let values = results.into_iter().filter_map(|result| mistakes.take(result)).collect();
    mistakes.into_result().map(|()| values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(scope: &str) -> ConfigError {
        ConfigError::InvalidScope { scope: scope.to_owned() }
    }

    #[test]
    fn one_mistake_stays_what_it_is() {
        let mut mistakes = Mistakes::default();
        assert_eq!(mistakes.take(Ok(1)), Some(1));
        assert_eq!(mistakes.take(Err::<(), _>(ConfigError::NoIssuer)), None);
        mistakes.add(ConfigError::NoIssuer);
        let error = mistakes.into_result().unwrap_err();
        assert!(matches!(error, ConfigError::NoIssuer), "found twice, reported once: {error}");
        assert_eq!(error.mistakes().count(), 1);
        assert!(Mistakes::default().into_result().is_ok());
    }

    #[test]
    fn several_are_one_flat_list() {
        let error =
            both::<(), ()>(Err(scope("a b").and(ConfigError::NoIssuer)), Err(scope("c d"))).unwrap_err();
        let error = all([Ok(1), Err(error), Ok(2), Err(scope("e f"))]).unwrap_err();
        let codes: Vec<_> = error.mistakes().map(ConfigError::code).collect();
        assert_eq!(codes, ["invalid_scope", "no_issuer", "invalid_scope", "invalid_scope"]);
        assert_eq!(error.code(), "several");
        let text = error.to_string();
        assert!(text.starts_with("4 mistakes: (1) \"a b\" is not a scope"), "{text}");
        assert!(text.contains("; (2) no trusted issuer"), "{text}");
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(all([Ok(1), Ok(2)]).unwrap(), [1, 2]);
        assert_eq!(both(Ok(1), Ok("b")).unwrap(), (1, "b"));
    }
}
