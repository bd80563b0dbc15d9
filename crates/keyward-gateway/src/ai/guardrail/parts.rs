//! Texts that are parts of one message, and are read as one: what was found in all of them together is written back into
//! each.

use super::sieve::Replaced;

/// The parts as they are from now on; `None` where one is as it was. A mark stands where what was found begins, and again in a
/// part of which nothing else would be left: providers refuse empty ones.
pub(super) fn written_back(parts: &[&str], replaced: &[Replaced]) -> Vec<Option<String>> {
    let mut from = 0;
    let each = parts.iter().map(|part| {
        let place = from..from + part.len();
        from = place.end;
        let here = replaced.iter().filter(|replaced| {
            replaced.place.start < place.end && replaced.place.end > place.start
        });
        let mut here = here.peekable();
        here.peek()?;
        let mut out = String::with_capacity(part.len());
        let mut at = 0;
        let mut last = "";
        for replaced in here {
            let start = replaced.place.start.saturating_sub(place.start);
            out.push_str(part.get(at..start).unwrap_or_default());
            if replaced.place.start >= place.start {
                out.push_str(&replaced.new);
            }
            at = (replaced.place.end - place.start).min(part.len());
            last = &replaced.new;
        }
        out.push_str(part.get(at..).unwrap_or_default());
        if out.trim().is_empty() {
            out.push_str(last);
        }
        Some(out)
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stands_where_what_it_stands_for_begins_and_no_part_is_empty() {
        let replaced = |start, end, new: &str| Replaced {
            place: start..end,
            new: new.to_owned(),
        };
        let check = |parts: &[&str], replaced: &[Replaced], expected: &[Option<&str>]| {
            let written = written_back(parts, replaced);
            let written: Vec<Option<&str>> = written.iter().map(Option::as_deref).collect();
            assert_eq!(written, expected);
        };
        check(&["ab", "cd"], &[], &[None, None]);
        check(
            &["ab", "cd", "ef"],
            &[replaced(1, 3, "[X]")],
            &[Some("a[X]"), Some("d"), None],
        );
        check(
            &["ab", "cd", "ef"],
            &[replaced(1, 5, "[X]")],
            &[Some("a[X]"), Some("[X]"), Some("f")],
        );
        check(
            &["abcd", "ef"],
            &[replaced(0, 1, "[X]"), replaced(2, 6, "[Y]")],
            &[Some("[X]b[Y]"), Some("[Y]")],
        );
    }
}
