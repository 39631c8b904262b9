//! What is read when a request arrives: credentials, and text from outside.
