//! The one integration test binary of the workspace.

// `cfg(test)` always holds here: it tells the lints that unwrapping is right, in helpers of tests too.
#[cfg(test)]
mod access;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bound_tokens;
#[cfg(test)]
mod coding;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod guarded_call;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod limits;
#[cfg(test)]
#[cfg(feature = "long-tests")]
mod long;
#[cfg(test)]
mod management;
#[cfg(test)]
mod mirroring;
#[cfg(test)]
mod node;
#[cfg(test)]
mod observing;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod pkcs11;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod python_peers;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod running;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod store;
#[cfg(test)]
mod token;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod upstreams;
