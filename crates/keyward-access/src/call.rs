//! What is known of a call, besides who makes it.

use cedar_policy::EntityUid;
use keyward_model::Timestamp;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::LazyLock;

use crate::schema::{METHODS, OTHER_METHOD, uid};

/// A call. What no policy asks for is not even looked up: headers are found by a function.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path by which the route was found: unreserved characters decoded, without the query.
    pub path: &'a str,
    /// The host that is called, in lower case, without port and final dot; empty where none is named.
    pub host: &'a str,
    /// The client's address.
    pub address: IpAddr,
    /// When the call came.
    pub time: Timestamp,
    /// A header, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> HeaderValue<'a>,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("host", &self.host)
            .field("address", &self.address)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// A header of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// It did not come.
    Absent,
    /// It came once.
    Once(Cow<'a, str>),
    /// It came more than once: who reads the first and who reads the last would see two calls.
    Several,
    /// It is not UTF-8.
    NotText,
}

/// The actions, made once.
static ACTIONS: LazyLock<Option<Actions>> = LazyLock::new(Actions::new);

struct Actions {
    known: Vec<(&'static str, EntityUid)>,
    other: EntityUid,
}

impl Actions {
    fn new() -> Option<Self> {
        let known: Option<Vec<_>> = METHODS
            .iter()
            .map(|(method, _)| Some((*method, uid("Action", method)?)))
            .collect();
        Some(Self {
            known: known?,
            other: uid("Action", OTHER_METHOD)?,
        })
    }
}

/// Which action a method is. `None` only if Cedar did not know our own names.
pub(crate) fn action(method: &str) -> Option<&'static EntityUid> {
    let actions = ACTIONS.as_ref()?;
    let mut known = actions.known.iter();
    let found = known.find(|(name, _)| *name == method);
    Some(found.map_or(&actions.other, |(_, uid)| uid))
}
