use super::*;

fn declared(max_bytes: usize) -> Arc<Capture> {
    Arc::new(Capture {
        requests: true,
        responses: true,
        max_bytes,
        content_types: Capture::default_types(),
        mask: std::collections::BTreeSet::new(),
        sample: Capture::EVERY_CALL,
    })
}

fn settings(memory: usize) -> CaptureSettings {
    CaptureSettings::new(memory, Queue::new().0)
}

fn begin(
    settings: &CaptureSettings,
    declared: &Arc<Capture>,
    fields: &[(&str, &str)],
) -> Option<Rc<CallCapture>> {
    let mut request = Fields::new();
    for (name, value) in fields {
        request.append_named(name, value.as_bytes());
    }
    CallCapture::begin(Some(settings), declared, &Ids::new(1), &request)
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn kept(capture: &CallCapture) -> (Vec<u8>, u64, End) {
    let bodies = capture.bodies.borrow();
    let body = bodies.request.as_ref().unwrap();
    (body.bytes.clone(), body.length, body.end)
}

#[test]
fn a_body_is_kept_up_to_its_bound_however_it_comes() {
    for piece in 1..=12 {
        let settings = settings(1000);
        let capture = begin(&settings, &declared(10), &[JSON]).unwrap();
        for bytes in b"0123456789ab".chunks(piece) {
            capture.keep(Side::Request, bytes);
        }
        assert_eq!(
            kept(&capture),
            (b"0123456789".to_vec(), 12, End::Bound),
            "{piece}"
        );
        assert_eq!(settings.memory(), 10);
    }
    let settings = settings(1000);
    let capture = begin(&settings, &declared(12), &[JSON]).unwrap();
    capture.keep(Side::Request, b"0123456789ab");
    assert_eq!(kept(&capture).2, End::Whole);
}

#[test]
fn all_captures_together_keep_to_their_memory_and_give_it_back() {
    let settings = settings(15);
    let declared = declared(10);
    let first = begin(&settings, &declared, &[JSON]).unwrap();
    first.keep(Side::Request, b"0123456789");
    let second = begin(&settings, &declared, &[JSON]).unwrap();
    second.keep(Side::Request, b"01234");
    second.keep(Side::Request, b"5");
    second.keep(Side::Request, b"6");
    assert_eq!(kept(&second), (b"01234".to_vec(), 7, End::Memory));
    assert_eq!(settings.memory(), 15);
    drop(first);
    assert_eq!(settings.memory(), 5);
    drop(second);
    assert_eq!(settings.memory(), 0);
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let settings = settings(1000);
    let declared = declared(10);
    for (fields, end) in [
        (&[][..], None),
        (&[("content-type", "text/plain")], None),
        (
            &[("content-type", "application/problem+json; charset=utf-8")],
            Some(End::Whole),
        ),
        (&[JSON, ("content-encoding", "identity")], Some(End::Whole)),
        (&[JSON, ("content-encoding", "gzip")], Some(End::Coded)),
    ] {
        let capture = begin(&settings, &declared, fields).unwrap();
        capture.keep(Side::Request, b"{}");
        let bodies = capture.bodies.borrow();
        assert_eq!(
            bodies.request.as_ref().map(|body| body.end),
            end,
            "{fields:?}"
        );
        if end == Some(End::Coded) {
            assert!(bodies.request.as_ref().unwrap().bytes.is_empty());
        }
    }
    let never = Arc::new(Capture {
        sample: 0,
        ..(*declared).clone()
    });
    assert!(begin(&settings, &never, &[JSON]).is_none());
    let responses = Arc::new(Capture {
        requests: false,
        ..(*declared).clone()
    });
    let capture = begin(&settings, &responses, &[JSON]).unwrap();
    assert!(capture.bodies.borrow().request.is_none());
}
