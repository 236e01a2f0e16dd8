//! What docs/attribution.md promises authors: an attribution model of one's own is one SQL file.

use std::path::Path;

use clicktrail_pipeline::{RunRequest, Verb};
use serde_json::json;

use super::fold::generate_into;
use super::support::{Answers, Shop, good};

/// The example of the page, as it stands there, beside two built-in models.
#[test]
fn one_file_adds_an_attribution_model() {
    let page =
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../docs/attribution.md");
    let page = std::fs::read_to_string(page).unwrap();
    let from = page.find("-- models/attribution/weights_engaged.sql").unwrap();
    let length = page[from..].find("```").unwrap();
    let shop = Shop::demo().with("attribution_models", json!(["last_click", "linear", "engaged"]));
    shop.write("models/attribution/weights_engaged.sql", &page[from..from + length]);
    generate_into(&shop.path("data"), 11, chrono_tz::UTC);
    // With its data tests: credits and revenue of every enabled model are conserved.
    good(shop.execute(&RunRequest::new(Verb::Build)).unwrap());

    let models = "select distinct attribution_model from fct_credits order by 1";
    assert_eq!(shop.rows(models), ["engaged", "last_click", "linear"]);
    // Shares of two touches, one of them in an engaged session, are 1 to 5.
    let uneven = "select count(*) from fct_credits where attribution_model = 'engaged' \
        and credit_micros in (166666, 166667, 833333, 833334)";
    assert_ne!(shop.value(uneven), "0");
}
