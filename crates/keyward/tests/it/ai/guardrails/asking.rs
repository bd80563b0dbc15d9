//! Services and models that are asked about texts: what they see, and what follows when they fail.

use super::*;

/// A service that answers about texts like this.
async fn service(says: impl Fn(&[&str]) -> Script + Send + Sync + 'static) -> Upstream {
    Upstream::choosing(move |asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let texts = body["texts"].as_array().unwrap().iter();
        let texts: Vec<&str> = texts.map(|text| text.as_str().unwrap()).collect();
        says(&texts)
    })
    .await
}

#[tokio::test]
async fn a_service_sees_marks_of_an_answer_where_its_caller_gets_what_they_stand_for() {
    let back = saying("Wrote to [EMAIL_1].").await;
    let judge = service(|_| Script::json("200 OK", &[], &json!({ "action": "allow" }))).await;
    let rules = "[ { name: pii, on: request, action: mask, pii: { kinds: [email], reversible: true } }, { name: own, on: answer, action: mask, webhook: { upstream: judge, path: / } } ]";
    let node = guarded("openai-chat", &back.url(), rules)
        .upstream("judge", &[judge.url()], "")
        .start()
        .await;
    for form in FORMS {
        for stream in [false, true] {
            let answer = call(&node, form, &format!("Write to {EMAIL}"), stream).await;
            check_passed(&answer);
            let expected = format!("Wrote to {EMAIL}.");
            assert_eq!(read(form, &answer, stream), expected, "{form} {stream}");
            let shown = body_of(&judge.received().pop().unwrap());
            let shown = shown["texts"].to_string();
            assert!(
                shown.contains("Wrote to [EMAIL_1]."),
                "{form} {stream}: {shown}"
            );
            assert!(!shown.contains(EMAIL), "{form} {stream}: {shown}");
        }
    }
}

/// How what is asked fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    Status,
    Unreadable,
    Late,
    /// It says less than it was asked.
    Short,
}

#[tokio::test]
async fn whatever_fails_on_whatever_side_the_guardrail_says_whether_a_call_passes() {
    let failing = |fails: Fails, of_webhook: bool| match fails {
        Fails::Status => Script::answer("500 Oops", &[], ""),
        Fails::Unreadable => Script::answer("200 OK", &[], "all is well"),
        Fails::Late => Script::new().wait_until_closed(),
        Fails::Short if of_webhook => {
            Script::json("200 OK", &[], &json!({ "action": "mask", "texts": [] }))
        }
        Fails::Short => Script::json("200 OK", &[], &json!({ "results": [] })),
    };
    for fails in [Fails::Status, Fails::Unreadable, Fails::Late, Fails::Short] {
        let judge = service(move |_| failing(fails, true)).await;
        let back = Upstream::choosing(move |asked| {
            if asked.target().ends_with("/moderations") {
                failing(fails, false)
            } else {
                said(asked, "fine")
            }
        })
        .await;
        // What is late is late soon; else there is time enough.
        let timeout = if fails == Fails::Late { "300ms" } else { "20s" };
        let mut plan = Plan::default()
            .resource(provider("back", "openai-chat", &back.url(), ""))
            .resource("- { kind: model, name: mod, attempts: 1, targets: [ { provider: back, model: mod-1 } ] }")
            .upstream("judge", &[judge.url()], "")
            .resource(OPEN);
        let mut cases = Vec::new();
        for what in [
            "webhook: { upstream: judge, path: /, ",
            "moderation: { model: mod, ",
        ] {
            for side in ["request", "answer"] {
                for (on_failure, status) in [("refuse", 503), ("allow", 200)] {
                    let action = if what.starts_with("webhook") {
                        "mask"
                    } else {
                        "block"
                    };
                    let name = format!("m{}", cases.len());
                    plan = plan.resource(format!(
                        "- {{ kind: model, name: {name}, targets: [ {{ provider: back, model: m }} ], guardrails: [ {{ name: own, on: {side}, action: {action}, {what}timeout: {timeout}, on_failure: {on_failure} }} }} ] }}"
                    ));
                    cases.push((name, format!("{what} {side} {on_failure}"), status));
                }
            }
        }
        let node = plan.start().await;
        for (name, case, status) in cases {
            for stream in [false, true] {
                let mut body = ask("openai-chat", "hello", stream);
                body["model"] = json!(name);
                let answer = post(&node, "/v1/chat/completions", &[], &body).await;
                let case = format!("{case} {fails:?} {stream}");
                assert_eq!(answer.status, status, "{case}: {}", answer.text());
                if status == 200 {
                    assert_eq!(read("openai-chat", &answer, stream), "fine", "{case}");
                } else {
                    let told = answer.json().unwrap();
                    assert_eq!(told["error"]["code"], "guardrail_unavailable", "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_moderation_model_judges_answers_too_streamed_and_not() {
    let back = Upstream::choosing(|asked| {
        if !asked.target().ends_with("/moderations") {
            return said(asked, "take the knife");
        }
        let texts = body_of(asked)["input"].as_array().unwrap().clone();
        let results: Vec<Value> = texts
            .iter()
            .map(|text| json!({ "flagged": text == "take the knife", "category_scores": {} }))
            .collect();
        Script::json("200 OK", &[], &json!({ "results": results }))
    })
    .await;
    for (action, status) in [("block", 400), ("flag", 200)] {
        let rules = format!(
            "[ {{ name: mild, on: answer, action: {action}, moderation: {{ model: mod }} }} ]"
        );
        let node = guarded("openai-chat", &back.url(), &rules)
            .resource("- { kind: model, name: mod, targets: [ { provider: back, model: mod-1 } ] }")
            .start()
            .await;
        for form in FORMS {
            for stream in [false, true] {
                let answer = call(&node, form, "how", stream).await;
                assert_eq!(answer.status, status, "{form} {stream}: {}", answer.text());
                if status == 200 {
                    assert_eq!(
                        read(form, &answer, stream),
                        "take the knife",
                        "{form} {stream}"
                    );
                } else {
                    assert!(!answer.text().contains("knife"), "{form} {stream}");
                }
                let flagged = answer.head.field("keyward-flagged");
                assert_eq!(
                    flagged,
                    (action == "flag").then_some("mild"),
                    "{form} {stream}"
                );
            }
        }
    }
}
