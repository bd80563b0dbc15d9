//! Bodies that are compressed or decompressed on their way (RFC 9110, section 8.4).

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// gzip (RFC 1952).
    Gzip,
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// zlib (RFC 1950). Of requests alone.
    Deflate,
}

impl ContentCoding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Brotli, Self::Zstd, Self::Deflate];

    /// As written in `Content-Encoding`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }
}

/// Which answers are compressed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// At least one, each once, none of them `deflate`. The first is taken where a client likes several as much.
    pub codings: Vec<ContentCoding>,
    /// What is compressed.
    pub types: Vec<MediaPattern>,
    /// Answers that are known to be smaller go as they are. In bytes.
    pub min_bytes: u64,
    /// How much work is put into it.
    pub levels: CompressionLevels,
}

/// How much work each coding puts in: more makes less, slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionLevels {
    /// 1 to 9.
    pub gzip: u32,
    /// 0 to 9.
    pub brotli: u32,
    /// 1 to 9.
    pub zstd: u32,
}

impl Default for CompressionLevels {
    /// Where each gives most for its time, on texts of APIs.
    fn default() -> Self {
        Self {
            gzip: 5,
            brotli: 4,
            zstd: 3,
        }
    }
}

/// Media types (RFC 9110, section 8.3.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaPattern {
    /// `application/json`.
    Exact(Box<str>),
    /// `text/*`: what is before the slash.
    Type(Box<str>),
    /// `+json`: how what is behind the slash ends (RFC 6838, section 4.2.8).
    Suffix(Box<str>),
}

impl MediaPattern {
    /// Whether the type is one of these; `media_type` is in lower case and without parameters.
    ///
    /// ```
    /// use keyward_model::resource::coding::MediaPattern;
    /// let json: MediaPattern = "+json".parse()?;
    /// assert!(json.covers("application/problem+json"));
    /// assert!(!json.covers("application/json"));
    /// # Ok::<(), keyward_model::resource::coding::NoMediaPattern>(())
    /// ```
    #[must_use]
    pub fn covers(&self, media_type: &str) -> bool {
        match self {
            Self::Exact(exact) => media_type == &**exact,
            Self::Type(kind) => media_type
                .split_once('/')
                .is_some_and(|(before, _)| before == &**kind),
            Self::Suffix(suffix) => media_type.ends_with(&**suffix),
        }
    }

    /// What is compressed where nothing else is said: texts, and what is written in their characters.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let exact = [
            "application/json",
            "application/javascript",
            "application/xml",
            "application/x-ndjson",
            "application/yaml",
            "application/wasm",
        ];
        let exact = exact.into_iter().map(|exact| Self::Exact(exact.into()));
        exact
            .chain([
                Self::Type("text".into()),
                Self::Suffix("+json".into()),
                Self::Suffix("+xml".into()),
            ])
            .collect()
    }
}

/// Why a text is no media pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no media type: write `application/json`, `text/*` or `+json`")]
pub struct NoMediaPattern;

impl std::str::FromStr for MediaPattern {
    type Err = NoMediaPattern;

    fn from_str(text: &str) -> Result<Self, NoMediaPattern> {
        let token = |text: &str| {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !text.is_empty() && text.bytes().all(good)
        };
        let text = text.to_ascii_lowercase();
        if text.strip_prefix('+').is_some_and(token) {
            return Ok(Self::Suffix(text.into()));
        }
        match text.split_once('/') {
            Some((kind, "*")) if token(kind) => Ok(Self::Type(kind.into())),
            Some((kind, rest)) if token(kind) && token(rest) => Ok(Self::Exact(text.into())),
            Some(_) | None => Err(NoMediaPattern),
        }
    }
}

/// Which requests are decompressed, and what they may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decompression {
    /// At least one, each once.
    pub codings: Vec<ContentCoding>,
    /// The largest that comes out, in bytes.
    pub max_bytes: u64,
    /// The most that comes out for each byte that went in.
    pub max_ratio: u32,
}
