//! What `keyward check` says of roles and policies, and where.

use crate::shell::Shell;

/// A configuration whose last lines are these; the first of them is line 11.
fn configuration(lines: &str) -> String {
    format!(
        "format: 1\n\
         listeners: [ {{ address: \"127.0.0.1:8080\", serves: gateway }} ]\n\
         resources:\n\
         \x20 - kind: issuer\n\
         \x20   name: main\n\
         \x20   issuer: https://main.example\n\
         \x20   secret: 0123456789abcdef0123456789abcdef\n\
         \x20   roles_from: realm_access.roles\n\
         \x20 - {{ kind: upstream, name: echo, targets: [ {{ url: \"http://127.0.0.1:9000\" }} ] }}\n\
         \x20 - {{ kind: api, name: a, version: v1, state: published, base_path: /a, upstream: echo, authentication: {{ issuers: [main], audience: a }}, authorization: {{ policies: [p] }} }}\n\
         {lines}\n"
    )
}

/// What is told of these lines, one problem a line.
fn told(lines: &str, files: &[(&str, &str)]) -> String {
    let shell = Shell::new();
    for (name, text) in files {
        shell.file(name, text.as_bytes());
    }
    shell.file("keyward.yaml", configuration(lines).as_bytes());
    let output = shell.run(&["check", "--config", "keyward.yaml"], b"");
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn check(lines: &str, expected: &[&str]) {
    let told = told(lines, &[]);
    for expected in expected {
        assert!(told.contains(expected), "{expected}\nis not in\n{told}");
    }
    if expected.is_empty() {
        assert_eq!(told, "", "{lines}");
    }
}

fn policy(cedar: &str) -> String {
    let indented: Vec<String> = cedar.lines().map(|line| format!("      {line}")).collect();
    format!(
        "  - kind: access_policy\n    name: p\n    claims: {{ tenant: String }}\n    cedar: |\n{}",
        indented.join("\n")
    )
}

#[test]
fn a_good_policy_is_taken() {
    check(&policy("permit (principal, action, resource);"), &[]);
}

#[test]
fn mistakes_in_a_policy_are_told_with_their_line() {
    for (cedar, expected) in [
        (
            "permit (principal, action, resource)\nwhen { principal.claims has tenat &&\n  principal.claims.tenat == \"acme\" };",
            "keyward.yaml:16:35: claim `tenat` is not declared: did you mean `tenant`? [cedar_type]",
        ),
        (
            "permit (principal, action, resource)\nwhen { context.adress.isIpv4() };",
            "keyward.yaml:16:22: `context` has no `adress`: did you mean `address`? [cedar_type]",
        ),
        (
            "permit (principal, action, resource)\nwhen { principal.subject == \"x\" };",
            "ask first, as in `principal has subject",
        ),
        (
            "permit (principal, action, resource)\nwhen { 1 + };",
            "keyward.yaml:16:",
        ),
        (
            "permit (principal, action, resource);\nallow;",
            "[cedar_syntax]",
        ),
        (
            "permit (principal, action, resource)\nwhen { context.headers has \"x-forwarded-for\" };",
            "keyward.yaml:16:34: header `x-forwarded-for`: anyone can send it: read `context.address` instead [cedar_header]",
        ),
        (
            "permit (principal, action, resource)\nwhen { context.parameters has user };",
            "policies read the parameter `user`, which no path has",
        ),
    ] {
        check(&policy(cedar), &[expected]);
    }
}

#[test]
fn mistakes_in_a_policys_file_are_told_with_its_line() {
    let lines = "  - { kind: access_policy, name: p, file: policies/orders.cedar }";
    let cedar = "// Orders.\npermit (principal, action, resource)\nwhen { context.minute == 3 };\n";
    let shell = Shell::new();
    std::fs::create_dir(shell.directory.path().join("policies")).unwrap();
    shell.file("keyward.yaml", configuration(lines).as_bytes());
    let run = || {
        let output = shell.run(&["check", "--config", "keyward.yaml"], b"");
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = run();
    assert!(
        missing.contains("keyward.yaml:11:") && missing.contains("there is no file"),
        "{missing}"
    );
    shell.file("policies/orders.cedar", cedar.as_bytes());
    let wrong = run();
    assert!(
        wrong.contains("policies/orders.cedar:3:16: `context` has no `minute`"),
        "{wrong}"
    );
    assert!(wrong.contains("`hour`"), "{wrong}");
    shell.file(
        "policies/orders.cedar",
        cedar.replace("minute", "hour").as_bytes(),
    );
    assert_eq!(run(), "");
}

#[test]
fn what_nobody_can_have_and_what_is_not_there_is_told() {
    let good = policy("permit (principal, action, resource);");
    let api = |authentication: &str, authorization: &str| {
        format!(
            "{good}\n  - {{ kind: api, name: b, version: v1, state: published, base_path: /b, upstream: echo, authentication: {authentication}, authorization: {authorization} }}"
        )
    };
    let main = "{ issuers: [main], audience: b }";
    for (lines, expected) in [
        (
            api(main, "{ policies: [q] }"),
            "`policies`: there is no access policy `q`: did you mean `p`?",
        ),
        (api(main, "{ policies: [] }"), "`policies` is empty"),
        (
            api(main, "{ roles: [x], scops: [y] }"),
            "unknown key `scops`: did you mean `scopes`?",
        ),
        (
            api(main, "{ claims: { level: { atleast: 3 } } }"),
            "did you mean `at_least`?",
        ),
        (
            api(main, "{ claims: { level: 2.5 } }"),
            "is nothing that claims are compared with",
        ),
        (api(main, "{ claims: {} }"), "has from 1 to 32 claims"),
        (
            api("none", "{ roles: [x] }"),
            "lets everyone call without a token",
        ),
        (
            api("none", "{ claims: { a: b } }"),
            "lets everyone call without a token",
        ),
        (
            api("none", "{ any_scopes: [x] }"),
            "lets everyone call without a token",
        ),
        (
            format!("{good}\n  - {{ kind: role, name: r, includes: [s] }}"),
            "`includes`: there is no role `s`",
        ),
        (
            format!(
                "{good}\n  - {{ kind: role, name: r, includes: [s] }}\n  - {{ kind: role, name: s, includes: [r] }}"
            ),
            "includes `r` in turn",
        ),
        (
            format!("{good}\n  - {{ kind: role, name: r, given_to: [ {{ subjects: [alice] }} ] }}"),
            "`issuer` is missing",
        ),
        (
            format!("{good}\n  - {{ kind: role, name: r, given_to: [ {{ issuer: mian }} ] }}"),
            "there is no issuer `mian`: did you mean `main`?",
        ),
        (
            format!(
                "{good}\n  - {{ kind: role, name: r, given_to: [ {{ issuer: main, subjects: [] }} ] }}"
            ),
            "`subjects` is empty",
        ),
        (
            good.replace("tenant: String", "tenant: Text"),
            "is none of `String`, `Long`, `Bool`, `Set<String>`",
        ),
        (
            good.replace("    cedar: |", "    file: x\n    cedar: |"),
            "`file` stands beside `cedar`",
        ),
        (
            format!(
                "{good}\n  - {{ kind: access_policy, name: q, cedar: \"permit (principal, action, resource);\" }}"
            ),
            "access policy `q` is used by no API",
        ),
    ] {
        check(&lines, &[expected]);
    }
}

#[test]
fn a_role_that_nobody_can_have_is_told() {
    let lines = "  - { kind: access_policy, name: p, cedar: \"permit (principal, action, resource);\" }\n  \
        - { kind: issuer, name: other, issuer: https://other.example, secret: 0123456789abcdef0123456789abcdef }\n  \
        - { kind: role, name: editor }\n  \
        - { kind: api, name: b, version: v1, state: published, base_path: /b, upstream: echo, authentication: { issuers: [other], audience: b }, authorization: { roles: [editr] } }";
    check(
        lines,
        &["`roles`: nobody can have the role `editr`: did you mean `editor`?"],
    );
}
