//! The command line, as a shell sees it: what goes in and out of pipes, and what the errors say.

mod credentials;
mod documents;
mod encryption;
mod keys;
mod refusals;
mod signatures;
mod tokens;
