//! Suspended, expired and unknown applications, anywhere in the chain of actors.
