//! `keyward apply`, `diff` and `export`.

use super::Managed;
use crate::node::Plan;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

struct Desk<'m> {
    managed: &'m Managed,
    folder: tempfile::TempDir,
}

impl<'m> Desk<'m> {
    fn of(managed: &'m Managed) -> Self {
        Self {
            managed,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env(
                "KEYWARD_SERVER",
                format!("http://{}", self.managed.node.process.site()),
            )
            .env("KEYWARD_TOKEN", &self.managed.token)
            .env("PARTNER_SECRET", "a-secret-of-the-machine-that-applies")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?}: {error}\n{}",
            self.managed.node.process.log()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn documents(url: &str) -> String {
    // What others refer to stands last: the order is nobody's care.
    format!(
        "kind: api\nname: orders\nversion: v1\nstate: published\nbase_path: /orders\nupstream: orders\nauthentication: {{ issuers: [partner], audience: orders }}\n---\nkind: issuer\nname: partner\nissuer: https://partner.example\nsecret: ${{ENV:PARTNER_SECRET}}\nalgorithms: [HS256]\n---\nkind: access_policy\nname: office\nfile: office.cedar\n---\nkind: upstream\nname: orders\ntargets: [ {{ url: \"{url}\" }} ]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_apply_is_empty_and_what_is_exported_applies_to_nothing() {
    let managed = Managed::start(Plan::default()).await;
    let desk = Desk::of(&managed);
    desk.file("office.cedar", "permit(principal, action, resource);");
    let path = desk.file("all.yaml", &documents(&managed.node.upstream.url()));
    let path = path.to_str().unwrap();

    let before = desk.good(&["diff", "-f", path]);
    assert!(
        before.ends_with("4 to create, 0 to change, 0 to delete, 0 as declared; revision 0\n"),
        "{before}"
    );
    assert_eq!(managed.node.get("/orders/a", &[]).await.status, 404);
    let applied = desk.good(&["apply", "-f", path, "--reason", "first"]);
    assert!(
        applied.ends_with("4 created, 0 changed, 0 deleted, 0 as declared; revision 1\n"),
        "{applied}"
    );
    assert_eq!(managed.node.get("/orders/a", &[]).await.status, 401);
    for command in [["diff", "-f", path], ["apply", "-f", path]] {
        let again = desk.good(&command);
        assert!(again.contains("4 as declared; revision 1"), "{again}");
        assert_eq!(again.lines().count(), 1, "{again}");
    }
    // Defaults that are written out are no difference.
    let text = std::fs::read_to_string(path).unwrap().replace(
        "base_path: /orders\n",
        "base_path: /orders\nkeep_base_path: false\nidle_body_timeout: 60s\n",
    );
    let spelled = desk.file("spelled.yaml", &text);
    let same = desk.good(&["diff", "-f", spelled.to_str().unwrap()]);
    assert!(same.contains("0 to change"), "{same}");

    let exported = desk.good(&["export"]);
    assert!(!exported.contains("a-secret-of-the-machine"), "{exported}");
    assert!(exported.contains("${SECRET:"), "{exported}");
    let copy = desk.file("copy.yaml", &exported);
    let copied = desk.good(&["diff", "-f", copy.to_str().unwrap()]);
    assert!(
        copied.starts_with("0 to create, 0 to change, 0 to delete, 4 as declared"),
        "{copied}"
    );
    let one = desk.good(&[
        "export", "--kind", "upstream", "--team", "default", "--json",
    ]);
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one["resources"].as_array().unwrap().len(), 1);

    // A change is shown member by member, and secrets never.
    let text = std::fs::read_to_string(path).unwrap();
    let changed = text
        .replace("audience: orders", "audience: others")
        .replace(
            "${ENV:PARTNER_SECRET}",
            "another-secret-of-this-very-machine",
        );
    let changed = desk.file("changed.yaml", &changed);
    let shown = desk.good(&["diff", "-f", changed.to_str().unwrap()]);
    assert!(
        shown.contains("authentication.audience: \"orders\" -> \"others\""),
        "{shown}"
    );
    assert!(
        shown.contains("secret: \"${SECRET:") && !shown.contains("another-secret"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_applied_or_nothing_and_what_goes_away_is_confirmed() {
    let managed = Managed::start(Plan::default().api("own", "authentication: none")).await;
    let desk = Desk::of(&managed);
    let good = "kind: role\nname: reader\n---\nkind: role\nname: writer\nincludes: [reader]\n";
    let broken = desk.file(
        "broken.yaml",
        &format!("{good}---\nkind: role\nname: lost\nincludes: [nobody]\n"),
    );
    let error = desk.refused(&["apply", "-f", broken.to_str().unwrap()], 1);
    assert!(error.contains("/resources/2/includes/0"), "{error}");
    assert_eq!(
        managed.get("/teams/default/roles").await["items"],
        json!([])
    );
    let typo = desk.file("typo.yaml", "kind: rol\nname: x\n");
    assert!(
        desk.refused(&["apply", "-f", typo.to_str().unwrap()], 1)
            .contains("did you mean `role`?")
    );
    let file = desk.file("file.yaml", "kind: api\nname: own\nversion: v1\nstate: retired\nbase_path: /own\nupstream: echo\nauthentication: none\n");
    assert!(
        desk.refused(&["apply", "-f", file.to_str().unwrap()], 1)
            .contains("origin: file")
    );
    let node = managed.node.process.folder().join("keyward.yaml");
    assert!(
        desk.refused(&["apply", "-f", node.to_str().unwrap()], 1)
            .contains("node's configuration")
    );

    desk.good(&[
        "apply",
        "-f",
        desk.file("good.yaml", good).to_str().unwrap(),
    ]);
    let less = desk.file("less.yaml", "kind: role\nname: reader\n");
    let less = less.to_str().unwrap();
    let kept = desk.good(&["apply", "-f", less]);
    assert!(kept.contains("0 deleted"), "{kept}");
    let shown = desk.good(&["diff", "-f", less, "--prune"]);
    assert!(shown.contains("- role writer (team default)"), "{shown}");
    // Nobody is there to confirm it.
    let error = desk.refused(&["apply", "-f", less, "--prune"], 2);
    assert!(
        error.contains("role writer") && error.contains("--yes"),
        "{error}"
    );
    managed.get("/teams/default/roles/writer").await;
    let pruned = desk.good(&["apply", "-f", less, "--prune", "--yes"]);
    assert!(pruned.contains("1 deleted"), "{pruned}");
    assert_eq!(
        managed.get("/teams/default/roles").await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // What a dry run has told is what is confirmed: after another's change it counts no more.
    let mut upstream = super::back(&managed);
    upstream["name"] = json!("late");
    managed.declare("upstreams", upstream).await;
    let stale = json!({ "resources": [], "prune": ["default"], "revision": 1, "credentials": 0 });
    let answer = managed.call("POST", "/apply", Some(stale)).await;
    crate::node::check_problem(&answer, 412, "precondition_failed");
    // A key that came since, too: it raises no revision.
    let mut prune = json!({ "resources": [], "prune": ["default"] });
    let path = "/apply?dry_run=true";
    let seen = managed.call("POST", path, Some(prune.clone())).await;
    let seen = super::expect(&seen, 200);
    let key = json!({ "name": "late", "api_key": "a-key-that-nobody-was-shown" });
    managed.declare("credentials", key).await;
    prune["revision"] = seen["revision"].clone();
    let answer = managed.call("POST", "/apply", Some(prune.clone())).await;
    crate::node::check_problem(&answer, 422, "invalid");
    prune["credentials"] = seen["credentials"].clone();
    let answer = managed.call("POST", "/apply", Some(prune)).await;
    crate::node::check_problem(&answer, 412, "precondition_failed");
    managed.get("/teams/default/credentials/late").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_what_is_missing() {
    let managed = Managed::start(Plan::default()).await;
    let desk = Desk::of(&managed);
    let path = desk.file("r.yaml", "kind: role\nname: r\n");
    let run = |token: Option<&str>, server: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command
            .args(["apply", "-f"])
            .arg(&path)
            .env_remove("KEYWARD_TOKEN");
        command.env("KEYWARD_SERVER", server);
        if let Some(token) = token {
            command.env("KEYWARD_TOKEN", token);
        }
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let site = format!("http://{}", managed.node.process.site());
    let (status, error) = run(None, &site);
    assert!(
        status == Some(2) && error.contains("--token FILE"),
        "{error}"
    );
    let (status, error) = run(Some("x"), &site);
    assert!(status == Some(1) && error.contains("status 401"), "{error}");
    let gateway = format!("http://{}", managed.node.process.gateway());
    let (status, error) = run(Some(&managed.token), &gateway);
    assert!(status == Some(1) && error.contains("status 404"), "{error}");
    let (status, error) = run(Some(&managed.token), "http://127.0.0.1:1");
    assert!(
        status == Some(1) && error.contains("[server_unreachable]"),
        "{error}"
    );
}
