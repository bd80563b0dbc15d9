//! A distinguished name as text that can be compared.

use std::fmt::Write as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Attributes that have a short name: those of RFC 4514, section 3, and two that certificates often have,
/// as OpenSSL writes them.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.5", "serialNumber"),
];

/// The name as RFC 4514, section 2, writes it: the last part first, every character that divides parts
/// escaped. Two names that differ never give the same text: whoever may choose a common name can't write
/// `CN=a,O=Other` into it and be taken for another.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes: Vec<String> = part.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(id, _)| *id == kind);
    match (short, attribute.as_str()) {
        (Some((_, short)), Ok(value)) => format!("{short}={}", escaped(value)),
        // RFC 4514, section 2.4: in hexadecimal digits, with tag and length, what has no text.
        (short, _) => {
            let name = short.map_or(kind.as_str(), |(_, short)| short);
            format!("{name}=#{}", encoded(attribute))
        }
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        let divides = matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (at == 0 && matches!(character, ' ' | '#'))
            || (at == last && character == ' ');
        if divides {
            text.push('\\');
            text.push(character);
        } else if character == '\0' {
            text.push_str("\\00");
        } else {
            text.push(character);
        }
    }
    text
}

fn encoded(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    let (tag, data) = (value.tag().0, value.data);
    let mut text = String::with_capacity(2 * data.len() + 12);
    let length = data.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    // DER: short lengths stand alone, longer ones behind their own length.
    let length = match length.as_slice() {
        [] => vec![0],
        [short] if *short < 0x80 => vec![*short],
        long => {
            let count = u8::try_from(long.len()).unwrap_or(u8::MAX);
            [&[0x80 | count], long].concat()
        }
    };
    // Strings have tags of one byte.
    let tag = u8::try_from(tag).unwrap_or(u8::MAX);
    for byte in [tag].iter().chain(&length).chain(data) {
        // Into a text this can't fail.
        let _written = write!(text, "{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyPair};
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    fn written(parts: &[(DnType, DnValue)]) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.custom_extensions = Vec::<CustomExtension>::new();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        text(parsed.subject())
    }

    #[test]
    fn names_are_written_as_rfc_4514_does_it() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        for (parts, expected) in [
            (vec![], ""),
            (
                vec![
                    (DnType::OrganizationName, utf8("Acme")),
                    (DnType::CommonName, utf8("billing")),
                ],
                "CN=billing,O=Acme",
            ),
            // RFC 4514, section 4.
            (
                vec![(DnType::CommonName, utf8("James \"Jim\" Smith, III"))],
                "CN=James \\\"Jim\\\" Smith\\, III",
            ),
            (
                vec![(DnType::CommonName, utf8("Before\rAfter"))],
                "CN=Before\rAfter",
            ),
            (
                vec![(DnType::CommonName, utf8("Lu\u{10d}i\u{107}"))],
                "CN=Lu\u{10d}i\u{107}",
            ),
            (
                vec![(DnType::CommonName, utf8("# a+b=c;<d>\\ "))],
                "CN=\\# a\\+b=c\\;\\<d\\>\\\\\\ ",
            ),
            (vec![(DnType::CommonName, utf8(" "))], "CN=\\ "),
            (vec![(DnType::CommonName, utf8("a\0b"))], "CN=a\\00b"),
            (
                vec![(
                    DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 1466, 0]),
                    utf8("\u{48}\u{69}"),
                )],
                "1.3.6.1.4.1.1466.0=#0C024869",
            ),
            (
                vec![(DnType::CustomDnType(vec![1, 2, 3]), utf8(&"a".repeat(200)))],
                &format!("1.2.3=#0C81C8{}", "61".repeat(200)),
            ),
        ] {
            assert_eq!(written(&parts), expected);
        }
    }

    #[test]
    fn no_value_passes_for_another_name() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let two = written(&[
            (DnType::OrganizationName, utf8("Acme")),
            (DnType::CommonName, utf8("billing")),
        ]);
        for forged in ["billing,O=Acme", "billing\\,O=Acme", "billing+O=Acme"] {
            assert_ne!(written(&[(DnType::CommonName, utf8(forged))]), two);
        }
    }
}
