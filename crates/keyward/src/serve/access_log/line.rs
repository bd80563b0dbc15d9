//! A call in one line: for programs as JSON, for eyes as words.
//!
//! A line is written at each call, so that its pieces are put together by hand: names and punctuation as they
//! stand here, numbers and texts without going through a formatter.

use super::mask::Mask;
use crate::configuration::access_log::{FieldSet, LogField};
use keyward_model::{Timestamp, UsageRecord};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// What writes lines of JSON.
#[derive(Debug)]
pub(super) struct JsonLines {
    fields: FieldSet,
    /// The last second that a line was written in, and its text up to the fraction: the next line is
    /// mostly of the same.
    second: (i64, String),
}

impl JsonLines {
    pub(super) fn new(fields: FieldSet) -> Self {
        Self {
            fields,
            second: (i64::MIN, String::new()),
        }
    }

    /// Adds a line. Durations are in microseconds.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, record: &UsageRecord, mask: &Mask) {
        use LogField as F;
        let start = out.len();
        let fields = self.fields;
        if fields.has(F::Time) {
            out.extend_from_slice(b",\"time\":\"");
            self.time(out, record.started);
            out.push(b'"');
        }
        if fields.has(F::RequestId) {
            out.extend_from_slice(b",\"request_id\":\"");
            hexadecimal(out, record.request_id.as_u128());
            out.push(b'"');
        }
        if let Some(trace_id) = record.trace_id.filter(|_| fields.has(F::TraceId)) {
            out.extend_from_slice(b",\"trace_id\":\"");
            hexadecimal(out, trace_id);
            out.push(b'"');
        }
        let text = |out: &mut Vec<u8>, field, name: &[u8], value: Option<&str>| {
            if let Some(value) = value.filter(|_| fields.has(field)) {
                out.extend_from_slice(name);
                json_text(out, value);
            }
        };
        let masked = |out: &mut Vec<u8>, field, name: &[u8], value: Option<&str>| {
            if let Some(value) = value.filter(|_| fields.has(field)) {
                out.extend_from_slice(name);
                match mask.of_text(field, value) {
                    Some(hidden) => json_text(out, &hidden),
                    None => json_text(out, value),
                }
            }
        };
        let number = |out: &mut Vec<u8>, field, name: &[u8], value: u64| {
            if fields.has(field) {
                out.extend_from_slice(name);
                decimal(out, value);
            }
        };
        let route = record.route.as_deref();
        let caller = record.caller.as_deref();
        let (code, blame) = (record.code, record.blame);
        let protocol = Some(record.protocol.as_str());
        text(out, F::Protocol, b",\"protocol\":", protocol);
        text(out, F::Method, b",\"method\":", Some(&record.method));
        masked(out, F::Path, b",\"path\":", Some(&record.path));
        number(out, F::Status, b",\"status\":", record.status.into());
        if let Some(status) = record.grpc_status {
            number(out, F::GrpcStatus, b",\"grpc_status\":", status.into());
        }
        text(
            out,
            F::Code,
            b",\"code\":",
            code.map(keyward_model::Code::as_str),
        );
        text(
            out,
            F::Blame,
            b",\"blame\":",
            blame.map(keyward_model::Blame::as_str),
        );
        text(out, F::Because, b",\"because\":", record.because.as_deref());
        text(out, F::Limit, b",\"limit\":", record.limit.as_deref());
        text(out, F::Policy, b",\"policy\":", record.policy.as_deref());
        let guardrails = record.guardrails.as_deref();
        text(out, F::Guardrails, b",\"guardrails\":", guardrails);
        text(
            out,
            F::AnswerCache,
            b",\"answer_cache\":",
            record.answer_cache,
        );
        if let Some(address) = record.address.filter(|_| fields.has(F::Address)) {
            out.extend_from_slice(b",\"address\":\"");
            ip(out, mask.of_address(address));
            out.push(b'"');
        }
        text(
            out,
            F::Team,
            b",\"team\":",
            route.map(|route| route.team_name.as_str()),
        );
        text(
            out,
            F::Api,
            b",\"api\":",
            route.map(|route| route.api.as_str()),
        );
        text(
            out,
            F::Version,
            b",\"version\":",
            route.map(|route| route.version.as_str()),
        );
        text(
            out,
            F::Route,
            b",\"route\":",
            route.map(|route| &*route.route),
        );
        let method = caller.map(|caller| caller.method.as_str());
        text(out, F::Authentication, b",\"authentication\":", method);
        let issuer = caller.and_then(|caller| caller.issuer.as_deref());
        text(out, F::Issuer, b",\"issuer\":", issuer);
        let subject = caller.and_then(|caller| caller.subject());
        masked(out, F::Subject, b",\"subject\":", subject);
        let client = caller.and_then(|caller| caller.client());
        masked(out, F::Client, b",\"client\":", client);
        number(out, F::Revision, b",\"revision\":", record.revision.0);
        number(out, F::BytesIn, b",\"bytes_in\":", record.bytes_in);
        number(out, F::BytesOut, b",\"bytes_out\":", record.bytes_out);
        let times = record.times;
        number(out, F::TotalUs, b",\"total_us\":", micros(times.total));
        number(
            out,
            F::UpstreamUs,
            b",\"upstream_us\":",
            micros(times.upstream),
        );
        number(
            out,
            F::FirstByteUs,
            b",\"first_byte_us\":",
            micros(times.first_byte),
        );
        if let Some(model) = record.model.as_deref() {
            text(out, F::Model, b",\"model\":", Some(&model.asked));
            text(
                out,
                F::ModelServed,
                b",\"model_served\":",
                Some(&model.served),
            );
            text(
                out,
                F::Provider,
                b",\"provider\":",
                Some(model.provider.as_str()),
            );
            let tokens = model.tokens;
            let cost = u64::try_from(model.cost.0).unwrap_or_default();
            let numbers: [(F, &[u8], u64); 11] = [
                (F::InputTokens, b",\"input_tokens\":", tokens.input),
                (F::CachedTokens, b",\"cached_tokens\":", tokens.cached_input),
                (
                    F::CacheWriteTokens,
                    b",\"cache_write_tokens\":",
                    tokens.cache_write,
                ),
                (F::OutputTokens, b",\"output_tokens\":", tokens.output),
                (
                    F::ReasoningTokens,
                    b",\"reasoning_tokens\":",
                    tokens.reasoning,
                ),
                (F::Images, b",\"images\":", model.units.images),
                (F::Characters, b",\"characters\":", model.units.characters),
                (F::AudioMs, b",\"audio_ms\":", model.units.audio_ms),
                (F::Searches, b",\"searches\":", model.units.searches),
                (F::CostPicoUsd, b",\"cost_pico_usd\":", cost),
                (
                    F::PriceRevision,
                    b",\"price_revision\":",
                    model.price_revision.into(),
                ),
            ];
            for (field, name, value) in numbers {
                number(out, field, name, value);
            }
            if model.estimated && fields.has(F::TokensEstimated) {
                out.extend_from_slice(b",\"tokens_estimated\":true");
            }
        }
        if let Some(called) = record.prompt.as_deref() {
            let (prompt, version) = (called.prompt.as_str(), called.version.as_str());
            text(out, F::Prompt, b",\"prompt\":", Some(prompt));
            text(
                out,
                F::PromptVersion,
                b",\"prompt_version\":",
                Some(version),
            );
        }
        // Each field has a comma before it: the first one's begins the object.
        match out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.extend_from_slice(b"}\n");
    }

    fn time(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let second = time.as_seconds();
        if self.second.0 != second {
            let text = Timestamp::from_seconds(second).to_string();
            let whole = text.split('.').next().unwrap_or_default();
            self.second = (second, format!("{whole}."));
        }
        out.extend_from_slice(self.second.1.as_bytes());
        let micros = time.as_micros().rem_euclid(1_000_000);
        // With a one in front, so that all six digits are written.
        let digits = out.len();
        decimal(out, u64::try_from(micros + 1_000_000).unwrap_or_default());
        out.remove(digits);
        out.push(b'Z');
    }
}

/// A line as people read it. What came from outside is escaped, so that it can neither forge a line nor
/// steer a terminal.
pub(super) fn human(out: &mut Vec<u8>, record: &UsageRecord, mask: &Mask) -> io::Result<()> {
    let caller = record.caller.as_deref();
    let subject = caller.and_then(|caller| caller.subject()).unwrap_or("-");
    let hidden = mask.of_text(LogField::Path, &record.path);
    let path = hidden.as_deref().unwrap_or(&record.path);
    let hidden = caller.and_then(|_| mask.of_text(LogField::Subject, subject));
    let subject = hidden.as_deref().unwrap_or(subject);
    write!(
        out,
        "{} {} {} {} {:.1}ms {}",
        record.started,
        record.status,
        record.method.escape_default(),
        path.escape_default(),
        record.times.total.as_secs_f64() * 1e3,
        subject.escape_default(),
    )?;
    if let Some(address) = record.address {
        write!(out, " from {}", mask.of_address(address))?;
    }
    if let Some(status) = record.grpc_status {
        write!(out, " grpc {status}")?;
    }
    if let Some(code) = record.code {
        write!(out, " [{code}]")?;
    }
    if let Some(because) = &record.because {
        write!(out, " ({})", because.escape_default())?;
    }
    writeln!(out, " {}", record.request_id)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn decimal(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn hexadecimal(out: &mut Vec<u8>, value: u128) {
    let bytes = value.to_be_bytes();
    let digits: [u8; 32] = std::array::from_fn(|place| {
        let byte = bytes.get(place / 2).copied().unwrap_or_default();
        let nibble = if place % 2 == 0 {
            byte >> 4
        } else {
            byte & 0xf
        };
        *HEXADECIMAL.get(usize::from(nibble)).unwrap_or(&b'?')
    });
    out.extend_from_slice(&digits);
}

fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, part) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                decimal(out, part.into());
            }
        }
        IpAddr::V6(address) => {
            // Writing to memory does not fail.
            let _infallible = write!(out, "{address}");
        }
    }
}

/// A string (RFC 8259, section 7), with as few escapes as it allows.
fn json_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let mut rest = text.as_bytes();
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    while let Some(at) = rest.iter().position(special) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = from.split_first() else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => {
                out.extend_from_slice(b"\\u00");
                for nibble in [other >> 4, other & 0xf] {
                    out.push(*HEXADECIMAL.get(usize::from(nibble)).unwrap_or(&b'?'));
                }
            }
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether nothing in it needs an escape: nearly every text. Eight bytes are looked at at once.
fn is_plain(text: &[u8]) -> bool {
    let Some(end) = text.last_chunk::<8>() else {
        return !text
            .iter()
            .any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
    };
    // The last eight overlap with those before: looked at twice is looked at.
    let (eights, _) = text.as_chunks::<8>();
    let found = eights.iter().chain([end]).fold(0, |found, eight| {
        found | specials(u64::from_le_bytes(*eight))
    });
    found == 0
}

/// Not zero if any of the eight bytes is one that JSON escapes.
const fn specials(bytes: u64) -> u64 {
    /// A byte in each place.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // Of bytes with seven bits, the eighth is set by what is added where they are at least as large as meant.
    let low = bytes & all(0x7f);
    let printable = low + all(0x80 - 0x20);
    let other_than_quote = (low ^ all(b'"')) + all(0x7f);
    let other_than_backslash = (low ^ all(b'\\')) + all(0x7f);
    !(printable & other_than_quote & other_than_backslash) & !bytes & all(0x80)
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;
    use keyward_model::caller::{Method, TokenFacts};
    use keyward_model::id::TeamId;
    use keyward_model::usage::{
        ModelUse, PicoUsd, PromptLabels, RouteLabels, Times, TokenCounts, UnitCounts,
    };
    use keyward_model::{Caller, Name};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn line(record: &UsageRecord, fields: FieldSet) -> String {
        let mut out = b"before".to_vec();
        JsonLines::new(fields).write(&mut out, record, &Mask::none());
        let line = String::from_utf8(out).unwrap();
        line.strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn every_field_stands_in_its_line_and_in_its_order() {
        let mut record = record("/a", "alice");
        let name = |text: &str| text.parse::<Name>().unwrap();
        record.route = Some(Arc::new(RouteLabels {
            team: TeamId::DEFAULT,
            team_name: name("default"),
            api: name("orders"),
            version: name("v1"),
            route: "/orders".into(),
        }));
        let mut caller = Caller::of_token(&TokenFacts {
            subject: Some("alice"),
            client: Some("app"),
            ..TokenFacts::default()
        })
        .unwrap();
        caller.method = Method::Anonymous;
        caller.issuer = Some("https://login.example".into());
        record.caller = Some(Arc::new(caller));
        record.because = Some("no such".into());
        record.trace_id = Some(7);
        record.model = Some(Box::new(ModelUse {
            asked: "fast".into(),
            served: "gpt-5".into(),
            provider: name("openai"),
            tokens: TokenCounts {
                input: 12,
                ..TokenCounts::default()
            },
            units: UnitCounts {
                images: 2,
                ..UnitCounts::default()
            },
            estimated: true,
            cost: PicoUsd(15_000_000),
            price_revision: 1,
        }));
        record.prompt = Some(Box::new(PromptLabels {
            prompt: name("translate"),
            version: name("v2"),
        }));
        record.grpc_status = Some(5);
        record.limit = Some("whole".into());
        record.policy = Some("closed".into());
        record.guardrails = Some("pii=mask".into());
        record.answer_cache = Some("hit");
        record.address = Some("192.0.2.77".parse().unwrap());
        record.started = Timestamp::from_micros(951_782_400_000_042);
        record.times = Times {
            total: Duration::from_micros(1234),
            ..Times::default()
        };
        let line = line(&record, FieldSet::ALL);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "2000-02-29T00:00:00.000042Z");
        assert_eq!(value["request_id"], "00000000000000000000000000000001");
        assert_eq!(value["address"], "192.0.2.77");
        assert_eq!(value["total_us"], 1234);
        assert_eq!(value["subject"], "alice");
        assert_eq!(value["input_tokens"], 12);
        assert_eq!(value["cost_pico_usd"], 15_000_000);
        assert_eq!(value["tokens_estimated"], true);
        let mut from = 0;
        for (name, _) in LogField::NAMED {
            let at = line[from..].find(&format!("\"{name}\":"));
            from += at.unwrap_or_else(|| panic!("{name} is not there or not in its place: {line}"));
        }
        assert_eq!(value.as_object().unwrap().len(), LogField::NAMED.len());
    }

    #[test]
    fn what_was_not_chosen_is_not_there() {
        let record = record("/a", "alice");
        let chosen = FieldSet::NONE.with(LogField::Status).with(LogField::Path);
        assert_eq!(line(&record, chosen), "{\"path\":\"/a\",\"status\":404}\n");
        assert_eq!(line(&record, FieldSet::NONE), "{}\n");
        let value: Value = serde_json::from_str(&line(&record, chosen.others())).unwrap();
        assert_eq!(value.get("path"), None);
        assert_eq!(value["code"], "not_found");
    }

    #[test]
    fn every_text_reads_back_as_it_was_and_is_written_as_others_write_it() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        let each = all.chars().map(|special| format!("eight by{special}te"));
        let each: Vec<String> = each.collect();
        let texts = ["", "plain", "al\nice", "\"\\\"", "ünï😀", &all];
        for text in texts.into_iter().chain(each.iter().map(String::as_str)) {
            let mut out = Vec::new();
            json_text(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), json!(text).to_string());
        }
    }

    #[test]
    fn numbers_ids_and_addresses_are_written_as_they_print() {
        for value in [0, 1, 0xdead_beef, u128::MAX] {
            let mut out = Vec::new();
            hexadecimal(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{value:032x}"));
        }
        for address in ["0.0.0.0", "255.255.255.255", "::1", "2001:db8::7"] {
            let mut out = Vec::new();
            ip(&mut out, address.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), address);
        }
    }

    #[test]
    fn times_are_right_whatever_was_written_before() {
        let mut lines = JsonLines::new(FieldSet::ALL);
        for micros in [5, 6, 1_000_000, 999_999, 0, -1, 951_782_400_123_456] {
            let time = Timestamp::from_micros(micros);
            let mut out = Vec::new();
            lines.time(&mut out, time);
            assert_eq!(String::from_utf8(out).unwrap(), time.to_string());
        }
    }

    #[test]
    fn nobody_forges_a_line_or_steers_a_terminal() {
        let mut out = Vec::new();
        let record = record("/a", "x\n1970 200 GET /admin \u{1b}[2J");
        human(&mut out, &record, &Mask::none()).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
    }
}
