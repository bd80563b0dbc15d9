use super::settings::{PostgresSettings, Tls};
use std::path::PathBuf;

fn check(text: &str, shown: &str, tls: Tls) {
    let settings = PostgresSettings::parse(text).unwrap_or_else(|why| panic!("{text}: it {why}"));
    assert_eq!(
        (settings.to_string().as_str(), settings.tls),
        (shown, tls),
        "{text}"
    );
    // The driver reads the same, and nothing is left for the environment to say.
    let url = settings.url();
    let read: sqlx_postgres::PgConnectOptions = url.reveal().parse().unwrap();
    assert_eq!(read.get_application_name(), Some("keyward"));
    assert!(read.get_database().is_some(), "{text}");
}

#[test]
fn an_address_says_where_and_how() {
    check("postgres://u@h/db", "postgres://u@h:5432/db", Tls::Full);
    check("postgresql://u:p@h:6/db", "postgres://u@h:6/db", Tls::Full);
    check(
        "postgres://u@localhost/db",
        "postgres://u@localhost:5432/db",
        Tls::Off,
    );
    check(
        "postgres://u@[::1]:7/db",
        "postgres://u@[::1]:7/db",
        Tls::Off,
    );
    check(
        "postgres://u@[2001:db8::1]/db",
        "postgres://u@[2001:db8::1]:5432/db",
        Tls::Full,
    );
    check(
        "postgres://u@10.0.0.1/db?sslmode=disable",
        "postgres://u@10.0.0.1:5432/db",
        Tls::Off,
    );
    check(
        "postgres://u@127.0.0.1/db?sslmode=verify-ca",
        "postgres://u@127.0.0.1:5432/db",
        Tls::Authority,
    );
    check(
        "postgres://u@127.0.0.1/db?sslrootcert=ca.pem",
        "postgres://u@127.0.0.1:5432/db",
        Tls::Full,
    );
    check(
        "postgres://u@h/db?sslmode=require",
        "postgres://u@h:5432/db",
        Tls::Unverified,
    );
    check(
        "postgres://u@/db?host=/run/pg",
        "postgres://u@/db?host=/run/pg",
        Tls::Off,
    );
    check(
        "postgres://u@%2Frun%2Fpg/db",
        "postgres://u@/db?host=/run/pg",
        Tls::Off,
    );
    check(
        "postgres://a%40b:%3A%2f@h/d%20b",
        "postgres://a@b@h:5432/d b",
        Tls::Full,
    );
}

#[test]
fn what_is_no_address_is_refused_without_repeating_it() {
    for (text, why) in [
        ("mysql://u:geheim@h/db", "no address of PostgreSQL"),
        ("postgres://h/db", "no user"),
        ("postgres://:geheim@h/db", "no user"),
        ("postgres://u:geheim@h", "no database"),
        ("postgres://u:geheim@h/", "no database"),
        ("postgres://u:geheim@/db", "no host"),
        ("postgres://u:geheim@h:0/db", "no port"),
        ("postgres://u:geheim@h:geheim/db", "no port"),
        ("postgres://u:geheim@a,b/db", "several"),
        ("postgres://u:geheim@[::1/db", "without `]`"),
        ("postgres://u:geheim@[h]/db", "IPv6"),
        ("postgres://u:geh%eim@h/db", "percent"),
        ("postgres://u:geh%ffeim@h/db", "percent"),
        ("postgres://u:geheim@h/d%00b", "percent"),
        ("postgres://u:geheim@h/db#x", "`#`"),
        ("postgres://u:geheim@h/db?sslmode=prefer", "in silence"),
        ("postgres://u:geheim@h/db?options=geheim", "behind the `?`"),
        ("postgres://u:geheim@h/db?host=elsewhere", "behind the `?`"),
        (
            "postgres://u:geheim@h/db?sslcert=c.pem",
            "without the other",
        ),
        (
            "postgres://u:geheim@h/db?sslmode=disable&sslrootcert=c.pem",
            "without TLS",
        ),
        (
            "postgres://u:geheim@/db?host=/run/pg&sslmode=verify-full",
            "on a socket",
        ),
    ] {
        let refusal = PostgresSettings::parse(text).expect_err(text).to_string();
        assert!(refusal.contains(why), "{text}: it {refusal}");
        assert!(!refusal.contains("geheim"), "{refusal}");
    }
    let long = format!("postgres://u@h/{}", "d".repeat(64));
    assert!(PostgresSettings::parse(&long).is_err());
}

#[test]
fn the_password_is_shown_nowhere_and_compared() {
    let parse = |text: &str| PostgresSettings::parse(text).unwrap();
    let settings = parse("postgres://u:geheim@h/db");
    assert!(!format!("{settings} {settings:?}").contains("geheim"));
    assert!(settings.has_password() && !parse("postgres://u@h/db").has_password());
    assert_eq!(settings, parse("postgres://u:geheim@h:5432/db"));
    for other in [
        "postgres://u:anders@h/db",
        "postgres://u@h/db",
        "postgres://u:geheim@h/other",
    ] {
        assert_ne!(settings, parse(other), "{other}");
    }
}

#[test]
fn what_can_be_read_on_its_way_is_known() {
    for (text, exposed) in [
        ("postgres://u@h/db", false),
        ("postgres://u@h/db?sslmode=verify-ca", false),
        ("postgres://u@h/db?sslmode=require", true),
        ("postgres://u@10.0.0.1/db?sslmode=disable", true),
        ("postgres://u@127.0.0.1/db", false),
        ("postgres://u@/db?host=/run/pg", false),
    ] {
        let settings = PostgresSettings::parse(text).unwrap();
        assert_eq!(settings.is_exposed(), exposed, "{text}");
    }
}

#[test]
fn paths_are_taken_from_where_the_address_stands() {
    let text = "postgres://u@h/db?sslrootcert=ca.pem&sslcert=c.pem&sslkey=k.pem";
    let mut settings = PostgresSettings::parse(text).unwrap();
    for path in settings.paths_mut() {
        *path = PathBuf::from("/etc/k y").join(&path);
    }
    assert_eq!(settings.authorities, Some(PathBuf::from("/etc/k y/ca.pem")));
    let url = settings.url();
    assert!(
        url.reveal().contains("sslkey=/etc/k%20y/k.pem"),
        "{}",
        url.reveal()
    );
}
