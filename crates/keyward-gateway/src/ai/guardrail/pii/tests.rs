use super::*;

/// What is found, without what lies in what is found: all that lies in each other is masked as one.
fn found(kind: PiiKind, text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut behind = 0;
    Pii::new(&[kind]).find(text, 0, text.len(), &mut |start, end, _| {
        if start >= behind {
            all.push(text[start..end].to_owned());
            behind = end;
        }
    });
    all
}

#[track_caller]
fn check(kind: PiiKind, text: &str, expected: &[&str]) {
    assert_eq!(found(kind, text), expected, "{kind:?} in {text}");
}

#[test]
fn addresses_of_mail_are_found_whole_and_without_what_ends_a_sentence() {
    let email = PiiKind::Email;
    check(
        email,
        "To a.b+c@mail.example.org. Now",
        &["a.b+c@mail.example.org"],
    );
    check(email, "<x_1@a-b.co>", &["x_1@a-b.co"]);
    check(email, "see a@b, @c.de and x@.de, x@a..de", &[]);
    check(email, "a@b.c1", &[]);
    check(email, "mail:a@b.xn--p1ai!", &["a@b.xn--p1ai"]);
}

#[test]
fn telephone_numbers_are_found_in_their_common_forms() {
    let phone = PiiKind::Phone;
    check(phone, "+44 20 7946 0958", &["+44 20 7946 0958"]);
    check(phone, "tel +1-415-555-2671.", &["+1-415-555-2671"]);
    check(phone, "(415) 555-2671", &["(415) 555-2671"]);
    check(phone, "call 415-555-2671 now", &["415-555-2671"]);
    check(phone, "030 901820123", &["030 901820123"]);
    check(phone, "手机13812345678。", &["13812345678"]);
    check(phone, "電話は090-1234-5678です", &["090-1234-5678"]);
    check(phone, "โทร0812345678", &["0812345678"]);
    check(phone, "caf\u{e9}13812345678", &[]);
    check(phone, "手机 13812345678", &["13812345678"]);
    check(phone, "in 2024, order 4155552671 and 12", &[]);
    check(phone, "+0 12 34 56, 0 12 34, 00 1234 5678", &[]);
}

#[test]
fn cards_have_an_issuer_and_a_check_digit() {
    let card = PiiKind::Card;
    check(card, "4111 1111 1111 1111", &["4111 1111 1111 1111"]);
    check(card, "no. 5555555555554444,", &["5555555555554444"]);
    check(card, "378282246310005", &["378282246310005"]);
    check(card, "6011-1111-1111-1117", &["6011-1111-1111-1117"]);
    check(card, "12 4111 1111 1111 1111 77", &["4111 1111 1111 1111"]);
    for before in ["“", "\u{a0}", "—", "№", "¿", "€", "：", "卡号"] {
        let text = format!("{before}4111 1111 1111 1111”");
        check(card, &text, &["4111 1111 1111 1111"]);
    }
    check(card, "4111 1111 1111 1112", &[]);
    check(card, "1234567812345670", &[]);
    check(card, "x4111111111111111", &[]);
    check(card, "41111111111111110000", &[]);
}

#[test]
fn account_numbers_have_their_country_s_length_and_their_remainder() {
    let iban = PiiKind::Iban;
    check(
        iban,
        "DE89 3704 0044 0532 0130 00 is mine",
        &["DE89 3704 0044 0532 0130 00"],
    );
    check(iban, "gb82west12345698765432", &["gb82west12345698765432"]);
    check(iban, "NO9386011117947", &["NO9386011117947"]);
    check(iban, "DE88370400440532013000", &[]);
    check(iban, "DE8937040044053201300", &[]);
}

#[test]
fn national_numbers_have_their_form_and_their_check() {
    check(
        PiiKind::UsSsn,
        "123-45-6789 666-12-1234 000-12-1234",
        &["123-45-6789"],
    );
    check(PiiKind::UsSsn, "123456789 123-45-67890 123-45 6789", &[]);
    // The example of GB 11643.
    check(PiiKind::CnId, "11010519491231002X", &["11010519491231002X"]);
    check(PiiKind::CnId, "440524188001010014", &["440524188001010014"]);
    check(PiiKind::CnId, "110105194912310021", &[]);
    check(PiiKind::NlBsn, "111222333", &["111222333"]);
    check(PiiKind::NlBsn, "111222334 000000000", &[]);
    check(PiiKind::PlPesel, "44051401359", &["44051401359"]);
    check(PiiKind::PlPesel, "44051401358", &[]);
    check(PiiKind::BeNrn, "85.07.30-033.28", &["85.07.30-033.28"]);
    check(PiiKind::BeNrn, "85.07.30-033.29", &[]);
    check(PiiKind::ItCf, "RSSMRA85T10A562S", &["RSSMRA85T10A562S"]);
    check(PiiKind::ItCf, "RSSMRA85T10A562T", &[]);
    check(
        PiiKind::EsDni,
        "12345678Z, X1234567L",
        &["12345678Z", "X1234567L"],
    );
    check(PiiKind::EsDni, "12345678A", &[]);
    check(
        PiiKind::FrNir,
        "2 55 08 14 168 025 38",
        &["2 55 08 14 168 025 38"],
    );
    check(PiiKind::FrNir, "255081416802539", &[]);
    check(PiiKind::DeTin, "86095742719", &["86095742719"]);
    check(PiiKind::DeTin, "86095742718", &[]);
    check(PiiKind::UkNhs, "943 476 5919", &["943 476 5919"]);
    check(PiiKind::UkNhs, "943 476 5918", &[]);
}

#[test]
fn no_match_is_longer_than_is_said() {
    for (_, kind) in PiiKind::ALL {
        let pii = Pii::new(&[*kind]);
        let text = format!(
            "{}@{} +1{} DE89{} 4{}",
            "a".repeat(64),
            "b.".repeat(200) + "de",
            " 2".repeat(30),
            " 1".repeat(40),
            " 1".repeat(40)
        );
        pii.find(&text, 0, text.len(), &mut |start, end, _| {
            assert!(end - start <= pii.longest(), "{kind:?}");
        });
    }
}
