//! Who may do what: what is checked before a node runs, what is explained, what is revoked while it runs.

mod checked;
mod explained;
mod logged;
mod revoked;
