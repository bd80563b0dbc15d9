use super::*;
use crate::message::{Fields, RequestHead};
use crate::request::path::RequestPath;
use crate::snapshot::route_table::{Occurrence, Parameters, RequestView};
use http::{Method, StatusCode};
use keyward_model::resource::route::{
    Condition, Conditions, EditedValue, FixedResponse, Forward, HeaderEdits, LocationPath, Mirror,
    PathKind, PathPattern, PathTemplate, QueryEdits, Redirect, Rewrite, RouteMatch, Scheme, Share,
};
use keyward_model::resource::{
    Authentication, IdentityHeaders, Route as DeclaredRoute, VersionState,
};
use proptest::prelude::*;
use std::time::Duration;

fn path(text: &str) -> RequestPath<'static> {
    let head = Box::leak(Box::new(RequestHead::to(text).unwrap()));
    RequestPath::parse(head).unwrap()
}

/// A route below `/shop` that matches `pattern`, with the call's parameters as the table finds them.
struct Case {
    pattern: PathPattern,
    keep_base_path: bool,
    query: QueryEdits,
}

impl Case {
    fn new(kind: PathKind, pattern: &str) -> Self {
        Self {
            pattern: PathPattern::parse(pattern, kind).unwrap(),
            keep_base_path: false,
            query: QueryEdits::default(),
        }
    }

    fn plan(&self, action: Action) -> RoutePlan {
        let base_path = "/shop".parse().unwrap();
        let upstream = "u".parse().unwrap();
        let mut route = DeclaredRoute::everything(&base_path, upstream);
        route.matching = RouteMatch {
            path: self.pattern.clone(),
            ..RouteMatch::default()
        };
        route.query = self.query.clone();
        route.action = action;
        let api = Api {
            version: "v1".parse().unwrap(),
            state: VersionState::Published,
            hosts: Vec::new(),
            base_path,
            keep_base_path: self.keep_base_path,
            routes: vec![route.clone()],
            authentication: Authentication::None,
            authorization: Default::default(),
            limits: Vec::new(),
            identity_headers: IdentityHeaders::default(),
            max_body_bytes: None,
            idle_body_timeout: Duration::from_secs(1),
            ai: None,
        };
        RoutePlan::new(&api, &route).unwrap()
    }

    fn template(&self, text: &str, prefix: bool) -> Rewrite {
        let template = PathTemplate::parse(text, &self.pattern, prefix).unwrap();
        if prefix {
            Rewrite::Prefix(template)
        } else {
            Rewrite::Path(template)
        }
    }

    fn parameters(&self, path: &RequestPath<'_>) -> Parameters {
        crate::snapshot::route_table::tests::parameters_of(
            &"/shop".parse().unwrap(),
            &self.pattern,
            path.for_matching(),
        )
    }

    fn target(&self, rewrite: Option<Rewrite>, text: &str) -> String {
        let mut forward = Forward::to("u".parse().unwrap());
        forward.rewrite = rewrite;
        let plan = self.plan(Action::Forward(forward));
        let path = path(text);
        let parameters = self.parameters(&path);
        let matched = MatchedPath {
            path: &path,
            parameters: &parameters,
        };
        plan.target(&matched).into_owned()
    }
}

#[test]
fn without_a_rewrite_the_base_path_is_taken_off() {
    let mut case = Case::new(PathKind::Prefix, "/orders");
    assert_eq!(case.target(None, "/shop/orders/7?a=b"), "/orders/7?a=b");
    assert_eq!(case.target(None, "/shop/orders?"), "/orders?");
    case.keep_base_path = true;
    assert_eq!(case.target(None, "/shop/orders/7"), "/shop/orders/7");
}

#[test]
fn a_prefix_is_replaced_with_the_base_path_before_it() {
    let case = Case::new(PathKind::Prefix, "/tenants/{tenant}");
    for (template, text, expected) in [
        ("/v2", "/shop/tenants/acme/orders/7?a=b", "/v2/orders/7?a=b"),
        ("/v2", "/shop/tenants/acme", "/v2"),
        ("/v2", "/shop/tenants/acme/", "/v2/"),
        ("/v2", "/shop/tenants/acme?x", "/v2?x"),
        ("/of/{tenant}/all", "/shop/tenants/acme/x", "/of/acme/all/x"),
        (
            "/{tenant}",
            "/shop/tenants/a%2Db%20c;v=1/x;y",
            "/a-b%20c/x;y",
        ),
        ("/", "/shop/tenants/acme", "/"),
        ("/", "/shop/tenants/acme/", "/"),
        ("/", "/shop/tenants/acme/evil.example", "/evil.example"),
    ] {
        let rewrite = Some(case.template(template, true));
        assert_eq!(case.target(rewrite, text), expected, "{template} {text}");
    }
}

#[test]
fn a_whole_path_is_replaced_and_the_query_stays() {
    let case = Case::new(PathKind::Whole, "/{tenant}/orders/{id}");
    for (template, text, expected) in [
        (
            "/o/{id}/of/{tenant}",
            "/shop/acme/orders/7?a=b",
            "/o/7/of/acme?a=b",
        ),
        ("/fixed", "/shop/acme/orders/7/", "/fixed"),
        ("/fixed/", "/shop/acme/orders/7", "/fixed/"),
        ("/{id}", "/shop/acme/orders/%3Fa=b%23", "/%3Fa=b%23"),
    ] {
        let rewrite = Some(case.template(template, false));
        assert_eq!(case.target(rewrite, text), expected, "{template} {text}");
    }
}

fn redirect(
    case: &Case,
    status: u16,
    scheme: Option<Scheme>,
    host: Option<&str>,
    to: LocationPath,
) -> RoutePlan {
    case.plan(Action::Redirect(Redirect {
        status,
        scheme,
        host: host.map(Into::into),
        path: to,
    }))
}

#[test]
fn a_redirect_changes_what_it_says_and_nothing_else() {
    let case = Case::new(PathKind::Prefix, "/old/{id}");
    let new = || LocationPath::Rewritten(case.template("/new/{id}", true));
    let root = || LocationPath::Rewritten(case.template("/", true));
    let same = || LocationPath::Same;
    let (https, called) = (Some(Scheme::Https), Some("Shop.example:8080"));
    for (scheme, host, to, called, text, expected) in [
        (
            https,
            None,
            same(),
            called,
            "/shop/old/7/x?a=b",
            Some("https://Shop.example/shop/old/7/x?a=b"),
        ),
        (
            https,
            Some("new.example:8443"),
            same(),
            called,
            "/shop/old/7",
            Some("https://new.example:8443/shop/old/7"),
        ),
        (
            None,
            Some("new.example"),
            same(),
            called,
            "/shop/old/7",
            Some("//new.example/shop/old/7"),
        ),
        (
            None,
            None,
            new(),
            called,
            "/shop/old/7/x?a=b",
            Some("/new/7/x?a=b"),
        ),
        (
            None,
            None,
            root(),
            called,
            "/shop/old/7/evil.example",
            Some("/evil.example"),
        ),
        (
            https,
            None,
            root(),
            called,
            "/shop/old/7",
            Some("https://Shop.example/"),
        ),
        (
            https,
            None,
            same(),
            Some("[::1]:80"),
            "/shop/old/7",
            Some("https://[::1]/shop/old/7"),
        ),
        (https, None, same(), None, "/shop/old/7", None),
        (
            https,
            None,
            same(),
            Some("evil.example/x?"),
            "/shop/old/7",
            None,
        ),
        (https, None, same(), Some(""), "/shop/old/7", None),
    ] {
        let plan = redirect(&case, 302, scheme, host, to);
        let Some(AnswerPlan::Redirect(redirect)) = &plan.answer else {
            panic!("no redirect")
        };
        let path = path(text);
        let parameters = case.parameters(&path);
        let matched = MatchedPath {
            path: &path,
            parameters: &parameters,
        };
        let location = plan.location(redirect, &matched, called);
        assert_eq!(location.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_fixed_answer_has_a_content_type_where_it_has_a_body() {
    let answer = |headers: &[(&str, &str)], body: &str| {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).into(), EditedValue::new(*value)));
        FixedAnswer::new(&FixedResponse {
            status: 503,
            headers: headers.collect(),
            body: body.into(),
        })
        .unwrap()
    };
    let text = answer(&[("retry-after", "60")], "later");
    assert_eq!(text.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        text.fields,
        Fields::from([
            ("retry-after", "60"),
            ("content-type", "text/plain; charset=utf-8"),
        ])
    );
    assert_eq!(text.body, "later");
    let json = answer(&[("content-type", "application/json")], "{}");
    assert_eq!(
        json.fields,
        Fields::from([("content-type", "application/json")])
    );
    assert_eq!(answer(&[], "").fields, Fields::new());
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(Box<str>, EditedValue)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), EditedValue::new(*value)))
        .collect()
}

#[test]
fn headers_are_removed_then_set_then_added() {
    let plan = HeaderEditsPlan::new(&HeaderEdits {
        remove: vec!["x-gone".into(), "x-set".into()],
        set: pairs(&[("x-set", "1"), ("x-both", "1")]),
        add: pairs(&[("x-both", "2"), ("x-there", "2")]),
    })
    .unwrap();
    let mut fields = Fields::from([
        ("x-gone", "0"),
        ("x-set", "0"),
        ("x-set", "9"),
        ("x-there", "0"),
    ]);
    plan.apply(&mut fields);
    assert_eq!(
        fields,
        Fields::from([
            ("x-there", "0"),
            ("x-set", "1"),
            ("x-both", "1"),
            ("x-both", "2"),
            ("x-there", "2"),
        ])
    );
    assert!(!format!("{plan:?}").contains('9'));
}

#[test]
fn values_that_are_written_do_not_print() {
    let edits = HeaderEdits {
        set: pairs(&[("authorization", "hunter2")]),
        ..HeaderEdits::default()
    };
    let plan = HeaderEditsPlan::new(&edits).unwrap();
    assert!(!format!("{plan:?}{edits:?}").contains("hunter2"));
}

#[test]
fn the_query_is_edited_and_the_rest_left_as_it_was_sent() {
    let edits = QueryEdits {
        remove: vec!["debug".into(), "x y".into()],
        set: pairs(&[("v", "2"), ("\u{e4}", "a&b=c")]),
        add: pairs(&[("tag", "new")]),
    };
    let appended = "v=2&%C3%A4=a%26b%3Dc&tag=new";
    for (query, rest) in [
        ("", ""),
        ("a=%7e&b", "a=%7e&b&"),
        ("v=1&a=1&v=3", "a=1&"),
        ("debug&%64ebug=1&debugger=1", "debugger=1&"),
        ("x+y=1&x%20y=2&tag=old", "tag=old&"),
        ("&&a=1&&", "a=1&"),
    ] {
        let plan = QueryEditsPlan::new(&edits);
        assert_eq!(plan.apply(query), format!("{rest}{appended}"), "{query}");
    }
    let none = QueryEditsPlan::new(&QueryEdits::default());
    assert!(matches!(none.apply("a=1&&b"), Cow::Borrowed("a=1&&b")));
}

#[test]
fn a_query_that_is_emptied_leaves_no_question_mark() {
    let mut case = Case::new(PathKind::Prefix, "/");
    case.query.remove.push("a".into());
    assert_eq!(case.target(None, "/shop/x?a=1"), "/x");
    assert_eq!(case.target(None, "/shop?a=1&b=2"), "?b=2");
    assert_eq!(case.target(None, "/shop/x"), "/x");
}

fn share(upstream: &str, weight: u32, when: Option<&str>) -> Share {
    Share {
        upstream: upstream.parse().unwrap(),
        weight,
        when: when.map(|value| Conditions {
            headers: vec![("x-canary".into(), Condition::Equals(value.into()))],
            query: Vec::new(),
        }),
    }
}

fn chosen(split: &SplitPlan, turn: u32, canary: Option<&'static str>) -> usize {
    let header = |name: &str| match canary.filter(|_| name == "x-canary") {
        Some(value) => Occurrence::Once(value.as_bytes()),
        None => Occurrence::Absent,
    };
    let view = RequestView {
        host: None,
        path: "/",
        method: &Method::GET,
        header: &header,
        query: None,
    };
    split.choose(turn, &view)
}

#[test]
fn shares_come_as_often_as_they_weigh() {
    let shares = [
        share("main", 90, None),
        share("nobody", 0, Some("never")),
        share("canary", 10, Some("always")),
    ];
    let split = SplitPlan::new(&shares).unwrap();
    for first in [0, 1, u32::MAX - 500] {
        let mut counts = [0; 3];
        for turn in 0..1000 {
            counts[chosen(&split, first.wrapping_add(turn), None)] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((98..=102).contains(&counts[2]), "{counts:?}");
    }
    for turn in 0..100 {
        assert_eq!(chosen(&split, turn, Some("always")), 2);
        assert_eq!(chosen(&split, turn, Some("never")), 1);
    }
    assert!(SplitPlan::new(&shares[..1]).is_none());
}

/// A mirror of this part of the calls.
fn mirror(percent: u8) -> Mirror {
    Mirror {
        upstream: "u".parse().unwrap(),
        percent,
        unsafe_methods: false,
        forward_credentials: false,
        request_headers: HeaderEdits::default(),
        max_body_bytes: 1,
        max_in_flight: std::num::NonZeroU32::new(2).unwrap(),
        timeout: Duration::from_secs(1),
    }
}

#[test]
fn a_mirror_takes_its_part_of_the_calls() {
    for (percent, least, most) in [(1, 8, 12), (10, 98, 102), (100, 1000, 1000)] {
        let plan = MirrorPlan::new(&mirror(percent));
        let copied = (0..1000).filter(|turn| plan.takes(&Method::GET, *turn));
        let copied = copied.count();
        assert!((least..=most).contains(&copied), "{percent} %: {copied}");
        assert!(!(0..1000).any(|turn| plan.takes(&Method::POST, turn)));
    }
    let all = MirrorPlan::new(&Mirror {
        unsafe_methods: true,
        ..mirror(100)
    });
    assert!(all.takes(&Method::POST, 7));
}

#[test]
fn only_so_many_copies_are_under_way() {
    let plan = MirrorPlan::new(&mirror(100));
    assert!(plan.enter() && plan.enter() && !plan.enter());
    plan.leave();
    assert!(plan.enter() && !plan.enter());
}

#[test]
fn a_copy_carries_a_mark_and_no_credentials() {
    let value = |text: &str| EditedValue::new(text);
    let sent = [
        ("authorization", "Bearer a"),
        ("proxy-authorization", "Basic a"),
        ("cookie", "a=b"),
        ("x-api-key", "secret"),
        ("accept", "a"),
    ];
    for (forward_credentials, kept) in [
        (false, vec![("accept", "a")]),
        (true, [&sent[..3], &[("accept", "a")]].concat()),
    ] {
        let edits = mirror::edits_of_copy(&Mirror {
            forward_credentials,
            request_headers: HeaderEdits {
                remove: vec!["x-api-key".into()],
                set: vec![("x-from".into(), value("mirror"))],
                add: Vec::new(),
            },
            ..mirror(100)
        });
        let mut fields = Fields::from(sent);
        for edits in edits.unwrap() {
            edits.apply(&mut fields);
        }
        let mut expected = kept;
        expected.extend([("x-from", "mirror"), ("x-keyward-mirrored", "true")]);
        let told: Vec<_> = fields
            .iter()
            .map(|field| (field.name.to_vec(), field.value.to_vec()))
            .collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        assert_eq!(told, expected);
    }
}

proptest! {
    /// Whatever path is let in, what comes out is as unambiguous.
    #[test]
    fn a_rewritten_path_has_one_reading(
        tail in "(/[a-z.~;%&=:@]{0,4}(%2[0-9a-f])?){0,4}",
        template in prop::sample::select(vec!["/", "/v2", "/{a}", "/x/{a}/y"]),
    ) {
        let text = format!("/shop/p{tail}");
        let Some(request) = RequestHead::to(&text) else { return Ok(()) };
        let Ok(path) = RequestPath::parse(&request) else { return Ok(()) };
        let case = Case::new(PathKind::Prefix, "/{a}");
        let rewrite = case.template(template, true);
        let target = case.target(Some(rewrite), path.whole());
        prop_assert!(target.starts_with('/'), "{target}");
        let head = RequestHead::to(&target).unwrap();
        prop_assert!(RequestPath::parse(&head).is_ok(), "{text} {target}");
    }

    /// A part of the query that is taken out can't be spelled so that it stays.
    #[test]
    fn what_is_removed_from_a_query_is_gone(
        query in "([ab%+=&]|%6[1-4]){0,12}",
    ) {
        let edits = QueryEdits { remove: vec!["a".into()], ..QueryEdits::default() };
        let edited = QueryEditsPlan::new(&edits).apply(&query).into_owned();
        let view = crate::snapshot::route_table::ConditionPlan::new(&Conditions {
            headers: Vec::new(),
            query: vec![("a".into(), Condition::Present)],
        });
        let header = |_: &str| Occurrence::Absent;
        let request = RequestView {
            host: None,
            path: "/",
            method: &Method::GET,
            header: &header,
            query: Some(&edited),
        };
        prop_assert!(!view.hold(&request), "{query} {edited}");
    }
}
