//! What answers tell browsers to do and not to do.

use crate::message::Fields;
use keyward_model::resource::policy::SecurityHeaders;

const STRICT_TRANSPORT: &str = "strict-transport-security";

/// Headers that are put on every answer of a route, and headers that are taken off.
#[derive(Debug)]
pub(super) struct SecurityPlan {
    strict_transport: Option<Box<str>>,
    set: Box<[(Box<str>, Box<str>)]>,
    remove: Box<[Box<str>]>,
    /// What is set, as it is put behind an answer's own.
    block: Fields,
    keep_upstreams: bool,
}

impl SecurityPlan {
    pub(super) fn new(declared: &SecurityHeaders) -> Self {
        let strict_transport = declared.strict_transport.map(|strict| {
            let mut text = format!("max-age={}", strict.max_age.as_secs());
            if strict.include_subdomains {
                text.push_str("; includeSubDomains");
            }
            if strict.preload {
                text.push_str("; preload");
            }
            text.into_boxed_str()
        });
        let mut block = Fields::new();
        for (name, value) in &declared.set {
            block.append_named(name, value.as_bytes());
        }
        Self {
            strict_transport,
            block,
            set: declared.set.as_slice().into(),
            remove: declared.remove.as_slice().into(),
            keep_upstreams: declared.keep_upstreams,
        }
    }

    /// `secure`: the client speaks TLS. In clear nothing is said of it (RFC 6797, section 7.2): whoever stands in
    /// between could say it just as well.
    pub(super) fn finish(&self, secure: bool, fields: &mut Fields) {
        if !self.remove.is_empty() {
            fields.retain(|field| self.remove.iter().all(|name| name.as_bytes() != field.name));
        }
        if self.keep_upstreams {
            for (name, value) in self.set.iter() {
                self.put(fields, name, value);
            }
        } else {
            fields.retain(|field| {
                self.set
                    .iter()
                    .all(|(name, _)| name.as_bytes() != field.name)
            });
            fields.append_all(&self.block);
        }
        match &self.strict_transport {
            Some(value) if secure => self.put(fields, STRICT_TRANSPORT, value),
            Some(_) => fields.remove_named(STRICT_TRANSPORT.as_bytes()),
            None => {}
        }
    }

    fn put(&self, fields: &mut Fields, name: &str, value: &str) {
        if self.keep_upstreams && fields.all_named(name).next().is_some() {
            return;
        }
        fields.set_named(name, value.as_bytes());
    }
}
