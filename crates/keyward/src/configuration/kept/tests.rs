use super::*;
use crate::configuration::{Reread, load, reread};
use proptest::prelude::*;
use std::fmt::Write as _;
use tempfile::TempDir;

const HEAD: &str =
    "format: 1\nlisteners:\n  - { address: 127.0.0.1:8080, serves: gateway }\nresources:\n";
const UPSTREAM: &str =
    "  - kind: upstream\n    name: echo\n    targets: [ { url: \"http://127.0.0.1:9000\" } ]\n";

fn api(name: &str) -> String {
    format!(
        "  - kind: api\n    name: {name}\n    version: v1\n    state: published\n    base_path: /{name}\n    upstream: echo\n    authentication: none\n"
    )
}

/// An upstream and so many APIs.
fn text(apis: usize) -> String {
    let mut text = format!("{HEAD}{UPSTREAM}");
    for number in 0..apis {
        write!(text, "{}", api(&format!("api-{number}"))).unwrap();
    }
    text
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keyward.yaml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn read(&self, before: Option<Kept>) -> Result<Reread, String> {
        reread(before, &self.path(), &|_| None).map_err(|refused| refused.why)
    }
}

/// What is told of a configuration: every resource with the places of all that stands in it.
fn told(configuration: &NodeConfiguration) -> Vec<String> {
    let resources = configuration.resources.iter();
    resources.map(|declared| format!("{declared:?}")).collect()
}

fn shown(resources: &[Arc<Resource>]) -> Vec<String> {
    let shown = resources.iter().map(|shared| format!("{shared:?}"));
    shown.collect()
}

/// What was read of a change, held against what reading all of it gives. `None`: both refuse it.
fn check(folder: &Folder, before: &str, after: &str) -> Option<usize> {
    folder.write(before);
    let kept = folder
        .read(None)
        .unwrap_or_else(|why| panic!("{why}:\n{before}"))
        .kept;
    folder.write(after);
    let whole = load(Some(&folder.path()), &[], &|_| None);
    // What is read and then not served leaves what was there before.
    let (declared, served) = (told(kept.configuration()), shown(kept.resources()));
    let kept = match reread(Some(kept), &folder.path(), &|_| None) {
        Ok(Reread { kept, before, .. }) => before.put_back(kept),
        Err(refused) => refused.before.map(|before| *before),
    };
    let kept = kept.unwrap();
    assert_eq!(told(kept.configuration()), declared, "{after}");
    assert_eq!(shown(kept.resources()), served, "{after}");
    let kept = {
        folder.write(before);
        let again = folder.read(Some(kept)).unwrap().kept;
        folder.write(after);
        again
    };
    match folder.read(Some(kept)) {
        Ok(Reread { kept, read, .. }) => {
            let whole = whole.configuration.unwrap_or_else(|| panic!("{after}"));
            assert_eq!(told(kept.configuration()), told(&whole), "{after}");
            let served = kept.resources().iter().map(|shared| format!("{shared:?}"));
            let declared = whole.resources.iter();
            assert!(served.eq(declared.map(|declared| format!("{:?}", declared.resource))));
            // And once more from there.
            folder.write(before);
            let again = folder.read(Some(kept)).unwrap().kept;
            let whole = load(Some(&folder.path()), &[], &|_| None);
            assert_eq!(
                told(again.configuration()),
                told(&whole.configuration.unwrap())
            );
            Some(read)
        }
        Err(why) => {
            assert_eq!(Some(why), whole.report.first_error(), "{after}");
            None
        }
    }
}

#[test]
fn of_a_change_what_has_changed_is_read_and_all_is_as_if_all_was() {
    let folder = Folder::new();
    let before = text(20);
    let with = |from: &str, to: &str| {
        assert!(before.contains(from), "{from}");
        before.replacen(from, to, 1)
    };
    let end = |more: &str| format!("{before}{more}");
    for (case, after, read) in [
        ("nothing", before.clone(), 1),
        ("a value", with("/api-7\n", "/seven\n"), 1),
        (
            "a line more",
            with(
                "    base_path: /api-7\n",
                "    base_path: /api-7\n    scopes_comment: x\n",
            )
            .replace("    scopes_comment: x\n", "    max_body: 1KiB\n"),
            1,
        ),
        (
            "a line at a member's end",
            with(
                "  - kind: api\n    name: api-8\n",
                "    max_body: 1KiB\n  - kind: api\n    name: api-8\n",
            ),
            2,
        ),
        (
            "a line less",
            with(
                "    version: v1\n    state: published\n    base_path: /api-7\n",
                "    version: v1\n    base_path: /api-7\n    state: published\n",
            ),
            1,
        ),
        (
            "a member more in the middle",
            with(&api("api-7"), &format!("{}{}", api("new"), api("api-7"))),
            2,
        ),
        ("a member more at the end", end(&api("new")), 2),
        ("a member less", with(&api("api-7"), ""), 1),
        ("the last member less", with(&api("api-19"), ""), 0),
        ("the first API less", with(&api("api-0"), ""), 1),
        (
            "two at once",
            with("/api-7\n", "/seven\n").replace("/api-9\n", "/nine\n"),
            3,
        ),
        (
            "a comment",
            with(
                "  - kind: api\n    name: api-7\n",
                "  # seven\n  - kind: api\n    name: api-7\n",
            ),
            2,
        ),
        ("a comment at the end", end("# the end\n"), 1),
        ("the upstream", with("9000", "9001"), 1),
        (
            "another form",
            with(
                &api("api-7"),
                "  - { kind: api, name: api-7, version: v1, state: published, base_path: /x, upstream: echo, authentication: none }\n",
            ),
            1,
        ),
        (
            "a text over lines",
            with(
                "    base_path: /api-7\n",
                "    base_path: >-\n      /api-7\n",
            ),
            1,
        ),
        (
            "a key of the configuration",
            before.replace("format: 1\n", "format: 1\nworkers: 2\n"),
            21,
        ),
        ("an anchor", with("name: api-7", "name: &seven api-7"), 21),
        (
            "a mark of a document",
            before.replace("format: 1\n", "---\nformat: 1\n"),
            21,
        ),
    ] {
        assert_eq!(check(&folder, &before, &after), Some(read), "{case}");
    }
}

#[test]
fn what_is_wrong_is_told_as_if_all_was_read() {
    let folder = Folder::new();
    let before = text(20);
    let with = |from: &str, to: &str| {
        assert!(before.contains(from), "{from}");
        before.replacen(from, to, 1)
    };
    for after in [
        with("base_path: /api-7", "base_path: api-7"),
        with("base_path: /api-7", "base_path: /api-8"),
        with("name: api-7\n", "name: api-9\n"),
        with("upstream: echo", "upstream: ecko"),
        with(UPSTREAM, ""),
        with("    version: v1\n", "    version: [\n"),
        with("    version: v1\n", "    version: \"v1\n"),
        with("    version: v1\n", "  version: v1\n"),
        with("    version: v1\n", "    version: *v\n"),
        with("    version: v1\n", "    version: v1\n    version: v1\n"),
        with(
            "  - kind: api\n    name: api-7\n",
            "  -kind: api\n    name: api-7\n",
        ),
        with(
            "  - kind: api\n    name: api-7\n",
            " - kind: api\n   name: api-7\n",
        ),
        with(
            "  - kind: api\n    name: api-7\n",
            "---\n  - kind: api\n    name: api-7\n",
        ),
        format!("{before}workers: two\n"),
        format!("{before}...\nworkers: 2\n"),
        format!("{before}  - just a text\n"),
        HEAD.to_owned(),
        String::new(),
    ] {
        assert_eq!(check(&folder, &before, &after), None, "{after}");
    }
}

#[test]
fn resources_that_stay_are_the_same_pieces_of_memory() {
    let folder = Folder::new();
    let before = text(9);
    folder.write(&before);
    let kept = folder.read(None).unwrap().kept;
    let first = kept.resources().to_vec();
    folder.write(&before.replace("/api-4\n", "/four\n"));
    let reread = folder.read(Some(kept)).unwrap();
    for (place, (one, other)) in first.iter().zip(reread.kept.resources()).enumerate() {
        assert_eq!(Arc::ptr_eq(one, other), place != 5, "{place}");
    }
}

#[test]
fn a_secret_in_a_file_of_its_own_is_read_again() {
    let folder = Folder::new();
    let secret = folder.0.path().join("secret");
    std::fs::write(&secret, "a secret with more than thirty-two bytes").unwrap();
    let issuer = "  - kind: issuer\n    name: own\n    issuer: https://issuer.test\n    secret: \"${FILE:secret}\"\n    algorithms: [HS256]\n";
    let before = format!("{}{issuer}", text(5));
    folder.write(&before);
    let kept = folder.read(None).unwrap().kept;
    folder.write(&before.replace("/api-4\n", "/four\n"));
    let reread = folder.read(Some(kept)).unwrap();
    assert_eq!(reread.read, 1);
    std::fs::write(&secret, "another secret with more than thirty-two").unwrap();
    let reread = folder.read(Some(reread.kept)).unwrap();
    assert_eq!(reread.read, 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is put in the place of whatever, it is read as if all was.
    #[test]
    fn any_edit_is_followed_rightly(
        from in 0usize..700,
        length in 0usize..120,
        put in prop::sample::select(vec![
            String::new(),
            "\n".to_owned(),
            "x".to_owned(),
            "  - ".to_owned(),
            "    max_body: 1KiB\n".to_owned(),
            "\n# a comment\n".to_owned(),
            "|\n      ".to_owned(),
            "\"".to_owned(),
            "&a ".to_owned(),
            "\n...\n".to_owned(),
            api("new"),
        ]),
    ) {
        let folder = Folder::new();
        let before = text(5);
        let from = from.min(before.len());
        let to = (from + length).min(before.len());
        let after = format!("{}{put}{}", &before[..from], &before[to..]);
        check(&folder, &before, &after);
    }
}
