//! Dialects at other addresses than their inventors': what differs is where a request goes, and what of it stands in the
//! address.

use crate::dialect::{Dialect, model_segment};
use crate::error::Error;
use crate::json::{Json, Members};
use std::borrow::Cow;

/// Whose addresses a provider has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosting {
    /// Those of the dialect's inventor.
    #[default]
    Own,
    /// Google's Vertex: a model of Anthropic's is a part of the address there.
    Vertex,
    /// Azure's, where a deployment is a part of the address, and the version of the interface has to be said.
    Azure {
        /// Such as `2024-10-21`.
        api_version: Box<str>,
    },
}

/// What Vertex wants to be told in place of a header.
const VERTEX_VERSION: &str = "vertex-2023-10-16";

impl Hosting {
    /// A request that was written for the dialect's inventor, as it goes to this host: what stands behind the
    /// provider's base address, and the body.
    ///
    /// # Errors
    /// [`Error::ModelName`]; [`Error::Json`] for a body that is no object.
    pub fn place<'a>(
        &self,
        dialect: Dialect,
        model: &str,
        stream: bool,
        (path, body): (String, Cow<'a, [u8]>),
    ) -> Result<(String, Cow<'a, [u8]>), Error> {
        match self {
            Self::Own => Ok((path, body)),
            Self::Vertex if dialect == Dialect::Anthropic => {
                let version = Some(Json::from(VERTEX_VERSION));
                if path != "/messages" {
                    let body = edited(body, &[("anthropic_version", version)])?;
                    return Ok(("/models/count-tokens:rawPredict".to_owned(), body));
                }
                let body = edited(body, &[("model", None), ("anthropic_version", version)])?;
                let call = if stream {
                    "streamRawPredict"
                } else {
                    "rawPredict"
                };
                Ok((format!("/models/{}:{call}", model_segment(model)?), body))
            }
            Self::Vertex => Ok((path, body)),
            Self::Azure { api_version } => {
                // Responses say the deployment in their body.
                let path = if path == "/responses" {
                    format!("{path}?api-version={api_version}")
                } else {
                    let deployment = model_segment(model)?;
                    format!("/deployments/{deployment}{path}?api-version={api_version}")
                };
                Ok((path, body))
            }
        }
    }
}

fn edited<'a>(body: Cow<'a, [u8]>, edits: &[(&str, Option<Json>)]) -> Result<Cow<'a, [u8]>, Error> {
    Ok(match body {
        Cow::Borrowed(body) => Members::read(body)?.edit(edits),
        Cow::Owned(body) => Cow::Owned(Members::read(&body)?.edit(edits).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        hosting: &Hosting,
        dialect: Dialect,
        (path, body): (&str, &str),
        expected: (&str, &str),
    ) {
        let given = (path.to_owned(), Cow::Borrowed(body.as_bytes()));
        let (path, body) = hosting
            .place(dialect, "m-1@2", path.contains("stream"), given)
            .unwrap();
        assert_eq!(
            (path.as_str(), std::str::from_utf8(&body).unwrap()),
            expected
        );
    }

    #[test]
    fn requests_go_where_the_host_has_the_model() {
        let azure = Hosting::Azure {
            api_version: "2024-10-21".into(),
        };
        let body = r#"{"model":"m-1@2","x":1}"#;
        check(
            &Hosting::Own,
            Dialect::Anthropic,
            ("/messages", body),
            ("/messages", body),
        );
        check(
            &Hosting::Vertex,
            Dialect::Anthropic,
            ("/messages", body),
            (
                "/models/m-1@2:rawPredict",
                r#"{"x":1,"anthropic_version":"vertex-2023-10-16"}"#,
            ),
        );
        check(
            &Hosting::Vertex,
            Dialect::Anthropic,
            ("/messages/count_tokens", body),
            (
                "/models/count-tokens:rawPredict",
                r#"{"model":"m-1@2","x":1,"anthropic_version":"vertex-2023-10-16"}"#,
            ),
        );
        check(
            &azure,
            Dialect::OpenAiChat,
            ("/chat/completions", body),
            (
                "/deployments/m-1@2/chat/completions?api-version=2024-10-21",
                body,
            ),
        );
        check(
            &azure,
            Dialect::OpenAiResponses,
            ("/responses", body),
            ("/responses?api-version=2024-10-21", body),
        );
    }

    #[test]
    fn a_stream_of_anthropic_s_on_vertex_has_an_address_of_its_own() {
        let body = (
            String::from("/messages"),
            Cow::Borrowed(&br#"{"model":"m","stream":true}"#[..]),
        );
        let (path, body) = Hosting::Vertex
            .place(Dialect::Anthropic, "m", true, body)
            .unwrap();
        assert_eq!(path, "/models/m:streamRawPredict");
        assert_eq!(
            &*body,
            br#"{"stream":true,"anthropic_version":"vertex-2023-10-16"}"#
        );
    }

    #[test]
    fn a_deployment_is_a_part_of_an_address_and_no_way_out_of_it() {
        let azure = Hosting::Azure {
            api_version: "v".into(),
        };
        for name in ["../admin", "a?b", "a%2fb", ""] {
            let given = ("/embeddings".to_owned(), Cow::Borrowed(&b"{}"[..]));
            let placed = azure.place(Dialect::OpenAiChat, name, false, given);
            assert!(matches!(placed, Err(Error::ModelName(_))), "{name}");
        }
    }
}
