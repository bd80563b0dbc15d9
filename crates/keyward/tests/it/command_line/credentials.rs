//! API keys and passwords on the command line, and in a node that has their hashes alone.

use crate::node::Plan;
use crate::shell::Shell;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

#[test]
fn a_key_is_made_and_checked() {
    let shell = Shell::new();
    let [one, other] = [0, 1].map(|_| text(shell.pipe(&["credential", "generate"], b"")));
    assert_ne!(one, other);
    assert!(one.starts_with("kwk_") && one.len() == 53, "{one}");
    let said = text(shell.pipe(&["credential", "check"], format!("{one}\n").as_bytes()));
    assert_eq!(said, "a key of Keyward's: its check is right");
    let said = text(shell.pipe(&["credential", "check"], b"0123456789abcdefghij"));
    assert!(said.contains("made elsewhere"), "{said}");
    for (wrong, why) in [
        (&one[..50], "it was cut"),
        (&*format!("{}0", &one[..52]), "mistyped"),
        ("short", "20 to 512"),
        ("", "nothing was given"),
    ] {
        if wrong == one {
            continue;
        }
        let line = shell.refusal(&["credential", "check"], wrong.as_bytes());
        assert!(line.contains(why), "{line}");
        assert!(
            wrong.is_empty() || wrong == "short" || !line.contains(wrong),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_node_needs_the_hash_alone_and_no_other_node_takes_it() {
    const PASSWORD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let key = text(Shell::new().pipe(&["credential", "generate"], b""));
    // The first start makes the database that the hash is of.
    let mut node = Plan::default()
        .settings("workers: 1")
        .api(
            "keys",
            "authentication: [ { api_key: { header: X-API-Key } }, { basic: true } ]",
        )
        .start()
        .await;
    assert_eq!(
        node.get("/keys/7", &[("X-API-Key", &key)]).await.status,
        401
    );
    let folder = node.process.folder().to_owned();
    let hash = |arguments: &[&str], secret: &str| {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["credential", "hash", "--config", "keyward.yaml"])
            .args(arguments)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(secret.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(output.stdout)
    };
    let hashed = hash(&[], &key);
    assert!(hashed.starts_with("kh1."), "{hashed}");
    let password = hash(&["--username", "batch"], PASSWORD);
    let configuration = folder.join("keyward.yaml");
    let written = std::fs::read_to_string(&configuration).unwrap();
    let more = format!(
        "{written}\n- {{ kind: credential, name: partner, api_key: {{ hash: {hashed} }} }}\n- {{ kind: credential, name: batch, password: {{ hash: {password} }} }}\n"
    );
    std::fs::write(&configuration, &more).unwrap();
    node.process.restart().await;
    let answer = node.get("/keys/7", &[("X-API-Key", &key)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        node.last_received().head.field("x-keyward-subject"),
        Some("partner")
    );
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("batch:{PASSWORD}"));
    let basic = format!("Basic {basic}");
    let answer = node.get("/keys/7", &[("Authorization", &basic)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    // Elsewhere the hash proves nothing. The other node gets this one's addresses.
    drop(node);
    let shell = Shell::new();
    shell.file(
        "keyward.yaml",
        more.replace("data_dir: ./data", "data_dir: ./other")
            .as_bytes(),
    );
    let output = shell.run(&["serve", "--config", "keyward.yaml"], b"");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("credential `"), "{told}");
    assert!(
        told.contains("hash it again with `keyward credential hash`"),
        "{told}"
    );
}

#[test]
fn a_password_that_somebody_made_up_is_hashed_slowly_and_never_alike() {
    let shell = Shell::new();
    let arguments = ["credential", "hash", "--argon2"];
    let [one, other] = [0, 1].map(|_| text(shell.pipe(&arguments, b"correct horse\n")));
    assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    assert_ne!(one, other);
    let short = shell.refusal(&["credential", "hash"], b"correct horse");
    assert!(short.contains("20 to 512"), "{short}");
}
