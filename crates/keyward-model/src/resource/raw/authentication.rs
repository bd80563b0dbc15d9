//! Reading `authentication` of an API: `none`, a mapping with one method in it, or a list of those.

use super::api::{is_token, scope_list};
use super::field::{Field, Fields};
use super::limits::ON_OUTAGE;
use super::problem::Problems;
use super::read::name;
use crate::name::Name;
use crate::resource::authentication::{ApiKeyMethod, BasicMethod, Dpop};
use crate::resource::mutual_tls::{Callers, CertificateName, MutualTls};
use crate::resource::{Authentication, AuthenticationMethod, TokenMethod, TokenSource};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What belongs to tokens.
const TOKEN_KEYS: &[&str] = &[
    "issuers",
    "audience",
    "token",
    "forward_token",
    "dpop",
    "proxied_certificate",
];
/// What stands for a method by itself.
const METHOD_KEYS: &[&str] = &["api_key", "basic", "mutual_tls", "anonymous"];
/// All keys.
const KEYS: &[&str] = &[
    "issuers",
    "audience",
    "token",
    "forward_token",
    "dpop",
    "proxied_certificate",
    "api_key",
    "basic",
    "mutual_tls",
    "anonymous",
];

/// The most callers that an API lists: each is a name in memory.
const CALLERS_MAX: usize = 10_000;

/// The longest name of a caller: what a certificate's name has room for in practice, many times over.
const CALLER_NAME_MAX: usize = 1024;

/// Headers that an API key can't stand in: they frame the message, belong to the connection, or are read as
/// something else.
const NO_KEY_HEADERS: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "request-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Why no caller that is authenticated so can have a scope.
pub(super) fn without_scopes(authentication: &Authentication) -> Option<&'static str> {
    let grants = |method: &AuthenticationMethod| match method {
        AuthenticationMethod::Token(_)
        | AuthenticationMethod::ApiKey(_)
        | AuthenticationMethod::Basic(_) => true,
        AuthenticationMethod::MutualTls(clients) => !clients.callers.grants_nothing(),
        AuthenticationMethod::Anonymous => false,
    };
    match authentication {
        Authentication::None => Some(
            "`authorization` asks for scopes, but `authentication: none` lets everyone call without a token: name issuers, or take the scopes out",
        ),
        Authentication::Methods(methods) if !methods.iter().any(grants) => Some(
            "`authorization` asks for scopes, which no certificate carries: give them in `callers`, as `{ name: …, scopes: [ … ] }`, or take them out",
        ),
        Authentication::Methods(_) => None,
    }
}

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Authentication> {
    if let Some(text) = field.as_text() {
        if text == "none" {
            return Some(Authentication::None);
        }
        field.refuse(
            "is neither `none` nor a mapping such as `{ issuers: [NAME], audience: … }`",
            problems,
        );
        return None;
    }
    if field.is_list() {
        return several(field, problems);
    }
    let read = method(field, problems)?;
    if read == AuthenticationMethod::Anonymous {
        field.refuse(
            "lets everyone in without a name: write `authentication: none`",
            problems,
        );
        return None;
    }
    Some(Authentication::Methods(vec![read]))
}

/// Several methods, in the order they count in.
fn several(field: Field<'_>, problems: &mut Problems) -> Option<Authentication> {
    let members = field.filled_list(problems)?;
    let last = members.len() - 1;
    let mut methods: Vec<AuthenticationMethod> = Vec::with_capacity(members.len());
    let mut whole = true;
    for (index, member) in members.into_iter().enumerate() {
        let Some(read) = method(member, problems) else {
            whole = false;
            continue;
        };
        if methods.iter().any(|other| other.as_str() == read.as_str()) {
            let advice = match read {
                AuthenticationMethod::Token(_) => "name all issuers in one of them",
                AuthenticationMethod::ApiKey(_)
                | AuthenticationMethod::Basic(_)
                | AuthenticationMethod::MutualTls(_)
                | AuthenticationMethod::Anonymous => "take one out",
            };
            problems.error(
                member.place(),
                "contradiction",
                format!("`authentication` has two methods with `{}`, and a call couldn't say which it means: {advice}", read.as_str()),
            );
            whole = false;
        }
        if read == AuthenticationMethod::Anonymous && (index < last || index == 0) {
            problems.error(
                member.place(),
                "contradiction",
                "`anonymous` lets in what presents nothing else: it is the last of several methods (to open the API to everyone, write `authentication: none`)",
            );
            whole = false;
        }
        methods.push(read);
    }
    whole.then_some(Authentication::Methods(methods))
}

/// One method.
fn method(field: Field<'_>, problems: &mut Problems) -> Option<AuthenticationMethod> {
    let fields = field.fields(KEYS, problems)?;
    let named: Vec<Field<'_>> = METHOD_KEYS
        .iter()
        .filter_map(|key| fields.optional(key))
        .collect();
    let of_tokens = TOKEN_KEYS.iter().find_map(|key| fields.optional(key));
    let (first, other) = match (named.as_slice(), of_tokens) {
        ([], _) => return token(&fields, problems).map(AuthenticationMethod::Token),
        ([one], None) => (*one, None),
        ([one, ..], Some(token)) => (*one, Some(token)),
        ([one, other, ..], None) => (*one, Some(*other)),
    };
    if let Some(other) = other {
        problems.error(
            other.place(),
            "contradiction",
            format!(
                "`{}` stands beside `{}`: each method is an entry of its own, in the order they count in: `authentication: [ {{ … }}, {{ … }} ]`",
                other.key(),
                first.key()
            ),
        );
        return None;
    }
    match first.key() {
        "api_key" => api_key(first, problems).map(AuthenticationMethod::ApiKey),
        "basic" => basic(first, problems).map(AuthenticationMethod::Basic),
        "mutual_tls" => mutual_tls(first, problems).map(AuthenticationMethod::MutualTls),
        _ => {
            if !first.boolean(problems)? {
                first.refuse(
                    "says nothing: write `anonymous: true`, or leave it out",
                    problems,
                );
                return None;
            }
            Some(AuthenticationMethod::Anonymous)
        }
    }
}

/// `api_key`: where it stands.
fn api_key(field: Field<'_>, problems: &mut Problems) -> Option<ApiKeyMethod> {
    let fields = field.fields(&["header", "query", "sdk"], problems)?;
    let sdk = match fields.optional("sdk") {
        Some(field) => field.boolean(problems)?,
        None => false,
    };
    let header = match fields.optional("header") {
        Some(field) => {
            let header: Box<str> = field.parsed(
                |text| is_token(text).then(|| text.to_ascii_lowercase().into()),
                "is no header name: it has letters, digits and !#$%&'*+-.^_`|~ alone (RFC 9110)",
                problems,
            )?;
            if NO_KEY_HEADERS.contains(&&*header) || header.starts_with("x-keyward-") {
                field.refuse(
                    "is read as something else here: choose another header, such as `X-API-Key`",
                    problems,
                );
                return None;
            }
            Some(header)
        }
        None => None,
    };
    let query = match fields.optional("query") {
        Some(field) => Some(field.parsed(
            |text| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
                (text.bytes().all(plain) && text != "access_token").then(|| text.into())
            },
            "is no name for a key in the query: it has letters, digits and -._~ alone, and `access_token` is a token's",
            problems,
        )?),
        None => None,
    };
    if let (true, Some(field)) = (sdk, fields.optional("header")) {
        problems.error(
            field.place(),
            "contradiction",
            "`header` stands beside `sdk`, which has headers of its own: take one of them out",
        );
    }
    if header.is_none() && query.is_none() && !sdk {
        problems.error(
            field.place(),
            "missing_key",
            "`api_key`: say where the key stands: `header: X-API-Key`, or `sdk: true` where the libraries of AI vendors send theirs, or `query: api_key` where a client can't set headers (addresses end up in logs of others)",
        );
        return None;
    }
    Some(ApiKeyMethod { header, query, sdk })
}

/// `basic`: `true`, or what the challenge calls it.
fn basic(field: Field<'_>, problems: &mut Problems) -> Option<BasicMethod> {
    const REALM: &str = "keyward";
    if field.as_boolean() == Some(true) {
        return Some(BasicMethod {
            realm: REALM.into(),
        });
    }
    let fields = field.fields(&["realm"], problems)?;
    let realm = match fields.optional("realm") {
        Some(field) => field.parsed(
            |text| {
                text.bytes()
                    .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'))
                    .then(|| text.into())
            },
            "is no realm: it has printable ASCII without quotes and backslashes",
            problems,
        )?,
        None => REALM.into(),
    };
    Some(BasicMethod { realm })
}

fn token(fields: &Fields<'_>, problems: &mut Problems) -> Option<TokenMethod> {
    let mut issuers: Vec<Name> = Vec::new();
    if let Some(list) = fields.required(
        "issuers",
        "name the issuers whose tokens are taken (`self` is this node)",
        problems,
    ) {
        for member in list.filled_list(problems).unwrap_or_default() {
            match name(member, problems) {
                Some(issuer) if issuers.contains(&issuer) => {
                    member.refuse("stands in the list twice", problems);
                }
                Some(issuer) => issuers.push(issuer),
                None => {}
            }
        }
    }
    let audiences = fields
        .required(
            "audience",
            "say what the token's `aud` must name, so that a token for another API is refused here",
            problems,
        )
        .map(|audience| match audience.as_text() {
            Some(_) => audience
                .text(problems)
                .map(Into::into)
                .into_iter()
                .collect(),
            None if audience.filled_list(problems).is_some() => audience.texts(problems),
            None => Vec::new(),
        });
    let token = match fields.optional("token") {
        Some(field) => token_source(field, problems),
        None => Some(TokenSource::Header),
    };
    let forward_token = match fields.optional("forward_token") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    let dpop = match fields.optional("dpop") {
        Some(field) => dpop(field, problems),
        None => Some(Dpop::default()),
    };
    let proxied_certificate = match fields.optional("proxied_certificate") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    if let (Some(field), Some(TokenSource::Cookie(_)), Some(Dpop { required: true, .. })) =
        (fields.optional("dpop"), &token, &dpop)
    {
        problems.error(
            field.place(),
            "contradiction",
            "`dpop` is required, but the token comes in a cookie: a token with a proof comes as `Authorization: DPoP` (RFC 9449, section 7.1)",
        );
    }
    Some(TokenMethod {
        issuers,
        audiences: audiences?,
        token: token?,
        forward_token: forward_token?,
        dpop: dpop?,
        proxied_certificate: proxied_certificate?,
    })
}

/// `dpop`: `accepted`, `required`, or a mapping with more to say.
fn dpop(field: Field<'_>, problems: &mut Problems) -> Option<Dpop> {
    let words = [("accepted", false), ("required", true)];
    if field.as_text().is_some() {
        return Some(Dpop {
            required: field.one_of(&words, problems)?,
            ..Dpop::default()
        });
    }
    let fields = field.fields(&["tokens", "nonce", "algorithms", "on_outage"], problems)?;
    let required = match fields.optional("tokens") {
        Some(field) => field.one_of(&words, problems),
        None => Some(false),
    };
    let nonce = match fields.optional("nonce") {
        Some(field) => {
            let words = [("when_stale", false), ("always", true)];
            field.one_of(&words, problems)
        }
        None => Some(false),
    };
    let algorithms = match fields.optional("algorithms") {
        Some(field) => {
            field.filled_list(problems)?;
            let algorithms = field.texts(problems);
            if algorithms.iter().any(|name| name.starts_with("HS")) {
                field.refuse(
                    "names an algorithm of shared secrets: a proof is made with a private key (RFC 9449, section 4.2)",
                    problems,
                );
                return None;
            }
            algorithms
        }
        None => Dpop::default().algorithms,
    };
    let on_outage = match fields.optional("on_outage") {
        Some(field) => field.one_of(&ON_OUTAGE, problems),
        None => Some(Dpop::default().on_outage),
    };
    Some(Dpop {
        required: required?,
        nonce: nonce?,
        algorithms,
        on_outage: on_outage?,
    })
}

fn token_source(field: Field<'_>, problems: &mut Problems) -> Option<TokenSource> {
    if let Some(text) = field.as_text() {
        if text == "header" {
            return Some(TokenSource::Header);
        }
        field.refuse("is neither `header` nor `{ cookie: NAME }`", problems);
        return None;
    }
    let fields = field.fields(&["cookie"], problems)?;
    let cookie = fields.required("cookie", "name the cookie that holds the token", problems)?;
    cookie
        .parsed(
            |text| is_token(text).then(|| text.into()),
            "is no cookie name: it has letters, digits and !#$%&'*+-.^_`|~ alone (RFC 6265)",
            problems,
        )
        .map(TokenSource::Cookie)
}

/// `mutual_tls`: whose certificates, and which name of them is the caller's.
fn mutual_tls(field: Field<'_>, problems: &mut Problems) -> Option<MutualTls> {
    let fields = field.fields(
        &[
            "subject",
            "callers",
            "roots",
            "forward_certificate",
            "proxied",
        ],
        problems,
    )?;
    let words = CertificateName::ALL.map(|name| (name.as_str(), name));
    let subject = fields
        .required(
            "subject",
            "say which name of a certificate is the caller's: `san_uri` (SPIFFE), `san_dns`, `san_email`, `common_name` or `subject_dn`",
            problems,
        )
        .and_then(|field| field.one_of(&words, problems));
    let callers = match fields.optional("callers") {
        Some(field) => callers(field, problems).map(Callers::Listed),
        None => Some(Callers::Certified),
    };
    let roots = match fields.optional("roots") {
        Some(field) => field.text(problems).map(|path| Some(PathBuf::from(path))),
        None => Some(None),
    };
    let forward_certificate = match fields.optional("forward_certificate") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    let proxied = match fields.optional("proxied") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    Some(MutualTls {
        proxied: proxied?,
        subject: subject?,
        callers: callers?,
        roots: roots?,
        forward_certificate: forward_certificate?,
    })
}

/// `callers`: each once, as its name or as a mapping that gives it scopes.
fn callers(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<BTreeMap<Box<str>, BTreeSet<String>>> {
    let members = field.filled_list(problems)?;
    if members.len() > CALLERS_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`callers` has {} entries: {CALLERS_MAX} are the most; an authority of its own for this API's clients needs none",
                members.len()
            ),
        );
        return None;
    }
    let mut callers = BTreeMap::new();
    for member in members {
        let (named, scopes) = if member.as_text().is_some() {
            (Some(member), Some(BTreeSet::new()))
        } else {
            let fields = Fields::of(member.node(), "a caller", &["name", "scopes"], problems)?;
            let scopes = match fields.optional("scopes") {
                Some(field) => scope_list(field, problems),
                None => Some(BTreeSet::new()),
            };
            let named = fields.required("name", "as its certificate has it", problems);
            (named, scopes)
        };
        let Some(named) = named else { continue };
        let name = named.parsed(
            |text| (text.len() <= CALLER_NAME_MAX && !text.contains('*')).then(|| text.into()),
            "is no caller's name: names are compared exactly, so `*` stands for nothing, and 1,024 bytes are the most",
            problems,
        );
        if let (Some(name), Some(scopes)) = (name, scopes)
            && callers.insert(name, scopes).is_some()
        {
            named.refuse("stands in the list twice", problems);
        }
    }
    Some(callers)
}
