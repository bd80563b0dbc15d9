//! What others say of texts: a service that is posted to, and models that moderate.

use super::{Judge, Judging};
use crate::ai::beside::{Beside, within};
use crate::body::RequestBody;
use crate::message::{Fields, Header, RequestHead, Version};
use crate::request::forward::{self, Call};
use crate::request::match_route::Matched;
use bytes::Bytes;
use http::Method;
use keyward_llm::task::Task;
use keyward_model::resource::guardrail::{ModerationCheck, WebhookCheck};
use serde::Deserialize;
use serde_json::json;
use std::rc::Rc;

/// What is read of an answer: as much as texts that were rewritten have.
const ANSWER_MAX: usize = 8 << 20;

/// What a judge says.
pub(super) enum Verdict {
    Pass,
    /// The guardrail fires.
    Fires,
    /// These are the texts from now on.
    Rewritten(Vec<String>),
}

#[derive(Deserialize)]
struct Said {
    action: SaidAction,
    #[serde(default)]
    texts: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SaidAction {
    Allow,
    Block,
    Mask,
}

impl Judge {
    /// Whether a call passes when there is no answer.
    pub(super) fn allows_on_failure(&self) -> bool {
        match &self.what {
            Judging::Webhook(check) => check.allow_on_failure,
            Judging::Moderation(check) => check.allow_on_failure,
        }
    }

    /// Asks. The error is for the operator.
    pub(super) async fn ask(
        &self,
        beside: &Beside<'_>,
        (name, side): (&str, &str),
        texts: &[&str],
    ) -> Result<Verdict, String> {
        match &self.what {
            Judging::Webhook(check) => {
                let question = json!({
                    "guardrail": name,
                    "on": side,
                    "model": beside.model,
                    "request_id": beside.context.id,
                    "texts": texts,
                });
                webhook(check, beside, &question.to_string(), texts.len()).await
            }
            Judging::Moderation(check) => moderation(check, beside, texts).await,
        }
    }
}

async fn webhook(
    check: &WebhookCheck,
    beside: &Beside<'_>,
    question: &str,
    count: usize,
) -> Result<Verdict, String> {
    let questions = &beside.call.matched.route.questions;
    let route = questions
        .iter()
        .find(|(upstream, _)| *upstream == check.upstream)
        .map(|(_, route)| Rc::clone(route))
        .ok_or("it can't be asked")?;
    let mut fields = Fields::new();
    fields.append(Header::ContentType, b"application/json");
    fields.append_named("accept", b"application/json");
    fields.append(Header::UserAgent, b"keyward");
    let head = RequestHead::of_own(Method::POST, Version::Http11, fields);
    let matched = Matched::of_copy(route, check.path.clone());
    let mut record = beside.record(&head);
    let call = Call {
        worker: beside.call.worker,
        client: beside.call.client,
        seat: beside.call.seat,
        matched: &matched,
        admitted: beside.call.admitted.of_copy(),
        upgrades: false,
    };
    let body = RequestBody::whole(Bytes::copy_from_slice(question.as_bytes()));
    let asked = async {
        let fetched = Box::pin(forward::fetch(&call, head, body, &mut record)).await;
        let answer = fetched.map_err(|refusal| refusal.for_operator())?;
        if !answer.status.is_success() {
            return Err(format!("it answered {}", answer.status));
        }
        beside.read(answer, check.timeout, ANSWER_MAX).await
    };
    let answer = within(check.timeout, beside.call, asked)
        .await
        .ok_or_else(|| format!("no answer within {:?}", check.timeout))??;
    let said: Said = serde_json::from_slice(&answer)
        .map_err(|error| format!("its answer can't be read: {error}"))?;
    match (said.action, said.texts) {
        (SaidAction::Allow, _) => Ok(Verdict::Pass),
        (SaidAction::Block, _) => Ok(Verdict::Fires),
        (SaidAction::Mask, Some(texts)) if texts.len() == count => Ok(Verdict::Rewritten(texts)),
        (SaidAction::Mask, texts) => Err(format!(
            "it masks and answers {} texts where it was asked about {count}",
            texts.map_or(0, |texts| texts.len())
        )),
    }
}

#[derive(Deserialize)]
struct Moderated {
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    flagged: bool,
    #[serde(default)]
    category_scores: std::collections::HashMap<String, Option<f64>>,
}

async fn moderation(
    check: &ModerationCheck,
    beside: &Beside<'_>,
    texts: &[&str],
) -> Result<Verdict, String> {
    let body = json!({ "model": check.model.as_str(), "input": texts }).to_string();
    let answer = beside
        .ask(check.model.as_str(), Task::Moderations, body, check.timeout)
        .await?;
    let moderated: Moderated = serde_json::from_slice(&answer)
        .map_err(|error| format!("its answer can't be read: {error}"))?;
    judged(&moderated, &check.thresholds, texts.len())
}

/// What scores come to. An answer that says nothing of a text, or of a category that counts, is none: a category whose
/// name is written wrongly would let everything pass.
fn judged(
    moderated: &Moderated,
    thresholds: &[(Box<str>, u16)],
    texts: usize,
) -> Result<Verdict, String> {
    let results = &moderated.results;
    if results.len() < texts {
        return Err(format!(
            "it answers about {} texts where it was asked about {texts}",
            results.len()
        ));
    }
    let mut missing = None;
    for result in results {
        if thresholds.is_empty() && result.flagged {
            return Ok(Verdict::Fires);
        }
        for (category, threshold) in thresholds {
            match result.category_scores.get(&**category) {
                Some(Some(score)) if score * 1000.0 >= f64::from(*threshold) => {
                    return Ok(Verdict::Fires);
                }
                // `null` is said of what does not go with a text of this kind.
                Some(_) => {}
                None => missing = Some(category),
            }
        }
    }
    match missing {
        Some(category) => Err(format!(
            "its answer has no score of `{category}`: name categories as the model does"
        )),
        None => Ok(Verdict::Pass),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_does_not_say_lets_nothing_pass() {
        let result = |flagged: bool, scores: &str| {
            format!(r#"{{"flagged":{flagged},"category_scores":{scores}}}"#)
        };
        let check = |results: &[String],
                     thresholds: &[(&str, u16)],
                     texts,
                     expected: Result<bool, &str>| {
            let body = format!(r#"{{"results":[{}]}}"#, results.join(","));
            let moderated: Moderated = serde_json::from_str(&body).unwrap();
            let thresholds: Vec<_> = thresholds
                .iter()
                .map(|(name, score)| (Box::from(*name), *score))
                .collect();
            match (judged(&moderated, &thresholds, texts), expected) {
                (Ok(Verdict::Fires), Ok(true)) | (Ok(Verdict::Pass), Ok(false)) => {}
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (Ok(_) | Err(_), _) => panic!("{body}"),
            }
        };
        let mild = result(false, r#"{"violence":0.1,"hate":null}"#);
        let bad = result(true, r#"{"violence":0.8}"#);
        check(
            std::slice::from_ref(&mild),
            &[("violence", 700)],
            1,
            Ok(false),
        );
        check(
            &[mild.clone(), bad.clone()],
            &[("violence", 700)],
            2,
            Ok(true),
        );
        check(std::slice::from_ref(&mild), &[("hate", 700)], 1, Ok(false));
        check(
            std::slice::from_ref(&mild),
            &[("violense", 700)],
            1,
            Err("`violense`"),
        );
        check(
            std::slice::from_ref(&bad),
            &[("hate", 1), ("violence", 700)],
            1,
            Ok(true),
        );
        check(&[bad], &[], 1, Ok(true));
        check(std::slice::from_ref(&mild), &[], 1, Ok(false));
        check(&[mild], &[], 2, Err("1 texts"));
        check(&[], &[], 1, Err("0 texts"));
    }
}
