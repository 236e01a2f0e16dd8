//! Functions that the embedded engine adds to SQL. Other engines get the same from macros.
//!
//! To add one: a file here, a line in [`register`], a `default__`/`clicktrail__` macro in `demo/macros`.

mod digests;
mod domain;
mod event_key;
mod first_by;
mod md5_lanes;
mod money;
mod params;
mod text;
mod time;
mod url;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, ScalarUDFImpl};

/// Makes every function known to a session.
pub(crate) fn register(context: &SessionContext) {
    add(context, params::Ga4Params::new());
    add(context, event_key::Ga4EventKey::new());
    add(context, url::Ga4UrlParams::new());
    add(context, url::UrlHost::new());
    add(context, url::HostMatches::new());
    add(context, domain::RegistrableDomain::new());
    add(context, text::Usable::new());
    add(context, text::HashKey::new());
    add(context, money::Money::new());
    for side in [first_by::Side::First, first_by::Side::Last] {
        context.register_udaf(AggregateUDF::new_from_impl(first_by::FirstBy::new(side)));
    }
    for kind in [
        time::Kind::UtcTimestamp,
        time::Kind::LocalTimestamp,
        time::Kind::LocalDate,
        time::Kind::LocalMidnight,
    ] {
        add(context, time::LocalTime::new(kind));
    }
}

fn add(context: &SessionContext, function: impl ScalarUDFImpl + 'static) {
    context.register_udf(ScalarUDF::new_from_impl(function));
}
