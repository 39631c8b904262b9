//! Debian's `glewlwyd`, a provider written in C.
