use super::context::{TraceParent, trace_state};
use super::*;
use proptest::prelude::*;

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn tracing(millionths: u32, believed: Believed) -> Tracing {
    Tracing {
        rules: TraceRules::new(TraceSample::of_millionths(millionths), believed),
        queue: SpanQueue::new().0,
    }
}

#[test]
fn a_parent_is_read_and_written_as_the_specification_has_it() {
    let parent = TraceParent::parse(PARENT.as_bytes()).unwrap();
    assert_eq!((parent.trace_id, parent.span_id), (TRACE, SPAN));
    assert!(parent.sampled && !parent.random);
    assert_eq!(parent.to_value(), PARENT.as_bytes());
    for (flags, sampled, random) in [
        ("00", false, false),
        ("02", false, true),
        ("ff", true, true),
    ] {
        let text = PARENT.replace("-01", &format!("-{flags}"));
        let parent = TraceParent::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (parent.sampled, parent.random),
            (sampled, random),
            "{flags}"
        );
    }
}

#[test]
fn later_versions_are_read_as_far_as_this_one_knows_them() {
    for good in [
        PARENT.replacen("00", "cc", 1),
        PARENT.replacen("00", "01", 1) + "-what-comes",
        PARENT.replacen("00", "fe", 1) + "-",
    ] {
        let parent = TraceParent::parse(good.as_bytes());
        assert_eq!(parent.map(|parent| parent.trace_id), Some(TRACE), "{good}");
    }
}

#[test]
fn what_is_no_parent_is_none() {
    for bad in [
        String::new(),
        PARENT.to_ascii_uppercase(),
        PARENT.replacen("00", "ff", 1),
        PARENT.replacen("00", "0", 1),
        PARENT.replacen("00", "01", 1) + "x",
        format!("{PARENT}-00"),
        format!("{PARENT} "),
        format!(" {PARENT}"),
        PARENT.replace('-', "_"),
        PARENT.replace("01", "0g"),
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
        PARENT.replace("4bf9", "+bf9"),
        "é".repeat(30),
    ] {
        assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn states_are_joined_in_their_order_and_a_bad_one_spoils_all() {
    let state = |values: &[&str]| {
        let mut fields = Fields::new();
        for value in values {
            fields.append(Header::Tracestate, value.as_bytes());
        }
        trace_state(&fields).map(|state| String::from_utf8(state.into()).unwrap())
    };
    for (values, expected) in [
        (&["a=1"][..], Some("a=1")),
        (&["a=1, b=2 ", "", "c@d=x y"], Some("a=1,b=2,c@d=x y")),
        (&["", ", ,"], None),
        (&["a=1", "a=2"], None),
        (&["A=1"], None),
        (&["a=1,b"], None),
        (&["a=1=2"], None),
        (&["a="], None),
    ] {
        assert_eq!(state(values).as_deref(), expected, "{values:?}");
    }
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("k{number}=v")).collect();
        members.join(",")
    };
    assert!(state(&[&many(32)]).is_some());
    assert!(state(&[&many(33)]).is_none());
    assert!(state(&[&format!("a={}", "x".repeat(256))]).is_some());
    assert!(state(&[&format!("a={}", "x".repeat(257))]).is_none());
}

#[test]
fn a_trace_is_continued_for_those_who_are_believed_alone() {
    let fields = Fields::from([("traceparent", PARENT), ("tracestate", "a=1")]);
    for (believed, trusted, continued) in [
        (Believed::Nobody, true, false),
        (Believed::TrustedProxies, true, true),
        (Believed::TrustedProxies, false, false),
        (Believed::Everyone, true, true),
        (Believed::Everyone, false, true),
    ] {
        let decision = tracing(0, believed).decide(&fields, trusted, 0);
        assert_eq!(
            decision.parent.is_some(),
            continued,
            "{believed:?} {trusted}"
        );
        assert_eq!(
            decision.state.is_some(),
            continued,
            "{believed:?} {trusted}"
        );
        // The parent says that it is recorded, which counts from a trusted proxy alone.
        assert_eq!(
            decision.sampled,
            continued && trusted,
            "{believed:?} {trusted}"
        );
    }
    // Nor can a stranger keep a call from being recorded.
    let unsampled = PARENT.replace("-01", "-00");
    let fields = Fields::from([("traceparent", &*unsampled)]);
    assert!(
        tracing(1_000_000, Believed::Everyone)
            .decide(&fields, false, 7)
            .sampled
    );
    assert!(
        !tracing(1_000_000, Believed::Everyone)
            .decide(&fields, true, 7)
            .sampled
    );
}

#[test]
fn two_parents_are_none() {
    let fields = Fields::from([("traceparent", PARENT), ("traceparent", PARENT)]);
    assert_eq!(parent(&fields), None);
}

#[test]
fn a_sample_takes_its_share() {
    let ids = Ids::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    for (millionths, least, most) in [(0, 0, 0), (100_000, 900, 1100), (1_000_000, 10_000, 10_000)]
    {
        let sample = TraceSample::of_millionths(millionths);
        let taken = (0..10_000).filter(|_| sample.takes(ids.chance())).count();
        assert!((least..=most).contains(&taken), "{millionths}: {taken}");
    }
}

#[test]
fn ids_are_different_and_never_zero() {
    let ids = Ids::new(0);
    let mut traces: Vec<u128> = (0..10_000).map(|_| ids.trace()).collect();
    let mut spans: Vec<u64> = (0..10_000).map(|_| ids.span()).collect();
    traces.sort_unstable();
    traces.dedup();
    spans.sort_unstable();
    spans.dedup();
    assert_eq!((traces.len(), spans.len()), (10_000, 10_000));
    assert!(traces[0] != 0 && spans[0] != 0);
}

proptest! {
    #[test]
    fn every_parent_reads_back_as_it_was_written(trace_id in 1_u128.., span_id in 1_u64.., sampled: bool, random: bool) {
        let parent = TraceParent { trace_id, span_id, sampled, random };
        prop_assert_eq!(TraceParent::parse(&parent.to_value()), Some(parent));
    }

    #[test]
    fn whatever_comes_is_read_as_what_it_says_or_not_at_all(text in "[0-9a-fx-]{0,60}") {
        if let Some(parent) = TraceParent::parse(text.as_bytes()) {
            let written = parent.to_value();
            prop_assert_eq!(&text.as_bytes()[2..53], &written[2..53]);
        }
    }

    #[test]
    fn a_state_that_was_read_is_read_again_as_the_same(values in prop::collection::vec("[a-c0-9@=, \t]{0,20}", 0..4)) {
        let mut fields = Fields::new();
        for value in &values {
            fields.append(Header::Tracestate, value.as_bytes());
        }
        if let Some(state) = trace_state(&fields) {
            let mut again = Fields::new();
            again.append(Header::Tracestate, &state);
            prop_assert_eq!(trace_state(&again), Some(state));
        }
    }
}
