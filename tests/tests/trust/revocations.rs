//! Revocations hold until they are lifted, and match what operators write.
