//! The header names that the gateway knows: told apart once, when a field is read, and compared as numbers
//! from then on.

/// What the gateway does with a field, by its name. A name can be in several classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

impl Class {
    /// Nothing in particular.
    const NONE: Self = Self(0);
    /// Speaks of this connection alone (RFC 9110, section 7.6.1).
    pub(crate) const HOP: Self = Self(1);
    /// What a client says about itself, or what would lead an upstream to another path than the one that was
    /// checked. A trusted proxy passes on what it does not know, so its word does not make these good.
    pub(crate) const NOT_BELIEVED: Self = Self(1 << 1);
    /// What only a trusted proxy may say.
    pub(crate) const OF_PROXIES: Self = Self(1 << 2);
    /// What the gateway itself says of a call.
    pub(crate) const SET_HERE: Self = Self(1 << 3);
    /// May not stand in a trailer: frames, routes, authenticates or steers (RFC 9110, section 6.5.1).
    pub(crate) const HEADS_ALONE: Self = Self(1 << 4);

    /// Both.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have something in common.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

macro_rules! headers {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $class:ident;)+) => {
        /// A header name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Header {
            $($(#[$doc])* $variant,)+
            /// Any other.
            Other,
        }

        impl Header {
            /// Tells which name these bytes are; they are in lower case.
            pub(crate) fn of(name: &[u8]) -> Self {
                match name {
                    $($name => Self::$variant,)+
                    _ => Self::Other,
                }
            }

            /// The name in lower case; empty for any other.
            pub(crate) const fn as_bytes(self) -> &'static [u8] {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other => b"",
                }
            }

            /// What is done with fields of this name.
            pub(crate) const fn class(self) -> Class {
                match self {
                    $(Self::$variant => Class::$class,)+
                    Self::Other => Class::NONE,
                }
            }

            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];
        }
    };
}

headers! {
    AcceptEncoding = b"accept-encoding": HEADS_ALONE;
    AcceptRanges = b"accept-ranges": NONE;
    AccessControlRequestMethod = b"access-control-request-method": NONE;
    Allow = b"allow": NONE;
    Authorization = b"authorization": HEADS_ALONE;
    CacheControl = b"cache-control": HEADS_ALONE;
    Connection = b"connection": HOP;
    ContentEncoding = b"content-encoding": HEADS_ALONE;
    ContentLength = b"content-length": HEADS_ALONE;
    ContentRange = b"content-range": HEADS_ALONE;
    ContentType = b"content-type": HEADS_ALONE;
    Cookie = b"cookie": HEADS_ALONE;
    Date = b"date": HEADS_ALONE;
    Dpop = b"dpop": HEADS_ALONE;
    Etag = b"etag": NONE;
    Expect = b"expect": HEADS_ALONE;
    Forwarded = b"forwarded": NOT_BELIEVED;
    GrpcMessage = b"grpc-message": NONE;
    GrpcStatus = b"grpc-status": NONE;
    GrpcTimeout = b"grpc-timeout": NONE;
    Host = b"host": HEADS_ALONE;
    IfNoneMatch = b"if-none-match": NONE;
    KeepAlive = b"keep-alive": HOP;
    Location = b"location": HEADS_ALONE;
    Origin = b"origin": NONE;
    ProxyAuthenticate = b"proxy-authenticate": HOP;
    ProxyAuthorization = b"proxy-authorization": HOP;
    ProxyConnection = b"proxy-connection": HOP;
    RateLimit = b"ratelimit": NONE;
    RateLimitPolicy = b"ratelimit-policy": NONE;
    RequestId = b"request-id": SET_HERE;
    RetryAfter = b"retry-after": NONE;
    SecWebsocketAccept = b"sec-websocket-accept": NONE;
    SecWebsocketKey = b"sec-websocket-key": NONE;
    SecWebsocketProtocol = b"sec-websocket-protocol": NONE;
    SecWebsocketVersion = b"sec-websocket-version": NONE;
    SetCookie = b"set-cookie": HEADS_ALONE;
    Te = b"te": HOP;
    Trailer = b"trailer": HEADS_ALONE;
    TransferEncoding = b"transfer-encoding": HOP;
    Traceparent = b"traceparent": SET_HERE;
    Tracestate = b"tracestate": SET_HERE;
    TrueClientIp = b"true-client-ip": NOT_BELIEVED;
    Upgrade = b"upgrade": HOP;
    UserAgent = b"user-agent": NONE;
    Vary = b"vary": HEADS_ALONE;
    Via = b"via": SET_HERE;
    WwwAuthenticate = b"www-authenticate": HEADS_ALONE;
    XClientIp = b"x-client-ip": NOT_BELIEVED;
    XForwardedFor = b"x-forwarded-for": SET_HERE;
    XForwardedHost = b"x-forwarded-host": SET_HERE;
    XForwardedPort = b"x-forwarded-port": OF_PROXIES;
    XForwardedPrefix = b"x-forwarded-prefix": OF_PROXIES;
    XForwardedProto = b"x-forwarded-proto": SET_HERE;
    XOriginalPath = b"x-original-path": NOT_BELIEVED;
    XOriginalUrl = b"x-original-url": NOT_BELIEVED;
    XRealIp = b"x-real-ip": NOT_BELIEVED;
    XRewriteUrl = b"x-rewrite-url": NOT_BELIEVED;
}

/// All classes that are the gateway's business, in heads or in trailers.
pub(crate) const OURS: Class = Class::HOP
    .or(Class::NOT_BELIEVED)
    .or(Class::OF_PROXIES)
    .or(Class::SET_HERE)
    .or(Class::HEADS_ALONE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_by_its_text_and_back() {
        for header in Header::ALL {
            assert_eq!(Header::of(header.as_bytes()), *header);
        }
        for other in ["", "hos", "hosts", "x-keyward-subject", "Host"] {
            assert_eq!(Header::of(other.as_bytes()), Header::Other);
        }
    }
}
