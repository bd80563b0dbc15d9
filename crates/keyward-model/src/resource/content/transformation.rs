//! Bodies and headers that are made anew on their way, by templates.

/// What a route changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformation {
    /// Of requests.
    pub request: Option<Change>,
    /// Of answers.
    pub response: Option<Change>,
}

/// A change of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Headers that are set: name in lower case, template. What gives nothing sets nothing.
    pub set_headers: Vec<(Box<str>, Box<str>)>,
    /// Headers that are taken out, in lower case.
    pub remove_headers: Vec<Box<str>>,
    /// A template of the new body, which is JSON.
    pub body: Option<Box<str>>,
    /// The largest body that is read for it, in bytes.
    pub max_body_bytes: usize,
    /// The largest that comes out, in bytes.
    pub max_output_bytes: usize,
    /// Whether what is not JSON passes as it is; else it is refused.
    pub passes_other: bool,
    /// The first and the last status of the answers that are changed.
    pub statuses: (u16, u16),
}

impl Change {
    /// The largest body, in or out, where nothing is said.
    pub const DEFAULT_BYTES: usize = 256 << 10;
}
