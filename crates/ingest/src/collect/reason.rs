//! Why a request or an event was refused.

use std::fmt;

/// Declares the reasons with their stable codes.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why an event, or a whole request, was refused. The codes are stable: they stand in dead
        /// letters, replies and metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable snake_case code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// `bad_utf8`: bytes, or percent-encoded bytes, are not UTF-8.
    BadUtf8 = "bad_utf8",
    /// `bad_json`: not JSON: syntax, a number beyond 64-bit floats, a lone surrogate, `NaN`.
    BadJson = "bad_json",
    /// `nul_character`: a key or value holds U+0000.
    NulCharacter = "nul_character",
    /// `too_deep`: JSON nested deeper than 16.
    TooDeep = "too_deep",
    /// `duplicate_key`: an object has a key twice, so that what is meant is unknown.
    DuplicateKey = "duplicate_key",
    /// `body_too_large`: the request is larger than its format allows.
    BodyTooLarge = "body_too_large",
    /// `row_too_large`: a row of `/v1/events` is longer than allowed.
    RowTooLarge = "row_too_large",
    /// `bad_type`: a value has another type than its column or key asks for.
    BadType = "bad_type",
    /// `missing_measurement_id`: a gtag request without `tid`.
    MissingMeasurementId = "missing_measurement_id",
    /// `unsupported_version`: a gtag request whose `v` is not 2.
    UnsupportedVersion = "unsupported_version",
    /// `missing_client_id`: neither `client_id` nor `app_instance_id`, in gtag no `cid`.
    MissingClientId = "missing_client_id",
    /// `id_too_long`: a client or user id beyond the limit.
    IdTooLong = "id_too_long",
    /// `no_events`: a request without events.
    NoEvents = "no_events",
    /// `too_many_events`: events beyond the limit of a request; those before it are accepted.
    TooManyEvents = "too_many_events",
    /// `missing_event_name`: an event without a name.
    MissingEventName = "missing_event_name",
    /// `name_invalid`: an event name that is too long or has characters that GA4 refuses.
    NameInvalid = "name_invalid",
    /// `name_reserved`: an event name that only GA4 itself may give.
    NameReserved = "name_reserved",
    /// `param_name_invalid`: a param or user property whose name is invalid or reserved, where the
    /// sender asked for strict validation; otherwise it is left out and counted.
    ParamNameInvalid = "param_name_invalid",
    /// `value_too_long`: a value beyond its limit, where the sender asked for strict validation;
    /// otherwise it is cut and counted.
    ValueTooLong = "value_too_long",
    /// `too_many_params`: more params, or url-encoded fields, than an event may have.
    TooManyParams = "too_many_params",
    /// `too_many_user_properties`: more user properties than a request may have, where the sender
    /// asked for strict validation; otherwise the rest is left out and counted.
    TooManyUserProperties = "too_many_user_properties",
    /// `future_ts`: a time more than 24 hours after receipt: a wrong clock, or nanoseconds.
    FutureTs = "future_ts",
    /// `bad_timestamp`: a time that is no number, zero, negative or before the year 2000: seconds
    /// or milliseconds in the place of microseconds.
    BadTimestamp = "bad_timestamp",
    /// `stale_ts`: older than 72 hours, where the sender asked for strict validation.
    StaleTs = "stale_ts",
    /// `event_id_invalid`: an event id or idempotency key that is empty or too long.
    EventIdInvalid = "event_id_invalid",
}

impl Reason {
    /// The reason of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
