//! The invented shop: products, devices, places, currencies.

/// One product; the price is in US cents.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) slug: &'static str,
    pub(super) category: &'static str,
    pub(super) cents: i64,
}

const fn product(
    id: &'static str,
    name: &'static str,
    slug: &'static str,
    category: &'static str,
    cents: i64,
) -> Product {
    Product { id, name, slug, category, cents }
}

/// The assortment.
pub(super) const PRODUCTS: [Product; 16] = [
    product("SKU1001", "Trail Runner One", "trail-runner-one", "Shoes", 12_900),
    product("SKU1002", "Trail Runner Light", "trail-runner-light", "Shoes", 14_950),
    product("SKU1003", "City Sneaker", "city-sneaker", "Shoes", 8_900),
    product("SKU1004", "Winter Boot", "winter-boot", "Shoes", 17_900),
    product("SKU2001", "Merino Shirt", "merino-shirt", "Apparel", 5_495),
    product("SKU2002", "Rain Jacket", "rain-jacket", "Apparel", 15_900),
    product("SKU2003", "Running Tights", "running-tights", "Apparel", 6_990),
    product("SKU2004", "Wool Socks 3-Pack", "wool-socks", "Apparel", 2_490),
    product("SKU3001", "Trail Backpack 20 l", "trail-backpack-20", "Bags", 9_900),
    product("SKU3002", "Hydration Vest", "hydration-vest", "Bags", 11_500),
    product("SKU3003", "Gym Bag", "gym-bag", "Bags", 4_500),
    product("SKU4001", "Head Torch", "head-torch", "Gear", 5_990),
    product("SKU4002", "Trekking Poles", "trekking-poles", "Gear", 7_995),
    product("SKU4003", "Soft Flask", "soft-flask", "Gear", 1_990),
    product("SKU4004", "GPS Watch & Strap", "gps-watch", "Gear", 34_900),
    product("SKU4005", "Energy Gel <12-Pack>", "energy-gel", "Gear", 2_200),
];

/// One device: category, brand, model, system and its version, browser and its version, weight.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) category: &'static str,
    pub(super) brand: &'static str,
    pub(super) model: &'static str,
    pub(super) system: &'static str,
    pub(super) system_version: &'static str,
    pub(super) browser: &'static str,
    pub(super) browser_version: &'static str,
    pub(super) weight: u32,
}

const fn device(
    category: &'static str,
    [brand, model]: [&'static str; 2],
    [system, system_version]: [&'static str; 2],
    [browser, browser_version]: [&'static str; 2],
    weight: u32,
) -> Device {
    Device { category, brand, model, system, system_version, browser, browser_version, weight }
}

/// The devices people use.
pub(super) const DEVICES: [Device; 8] = [
    device("mobile", ["Apple", "iPhone"], ["iOS", "26.1"], ["Safari", "26.1"], 34),
    device("mobile", ["Samsung", "SM-S931B"], ["Android", "16"], ["Chrome", "143.0.0.0"], 20),
    device("mobile", ["Google", "Pixel 10"], ["Android", "16"], ["Chrome", "143.0.0.0"], 6),
    device("desktop", ["Apple", ""], ["Macintosh", "Intel 10.15"], ["Safari", "26.0"], 8),
    device("desktop", ["Apple", ""], ["Macintosh", "Intel 10.15"], ["Chrome", "143.0.0.0"], 8),
    device("desktop", ["", ""], ["Windows", "10"], ["Chrome", "143.0.0.0"], 16),
    device("desktop", ["", ""], ["Windows", "10"], ["Edge", "143.0.0.0"], 5),
    device("tablet", ["Apple", "iPad"], ["iOS", "26.1"], ["Safari", "26.1"], 3),
];

/// One place with its currency.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) city: &'static str,
    pub(super) country: &'static str,
    pub(super) continent: &'static str,
    pub(super) region: &'static str,
    pub(super) sub_continent: &'static str,
    pub(super) language: &'static str,
    pub(super) currency: &'static Currency,
    pub(super) weight: u32,
}

/// A currency: its code, millionths of a US dollar for one unit, and digits behind the point.
#[derive(Debug)]
pub(super) struct Currency {
    pub(super) code: &'static str,
    pub(super) usd_micros: i64,
    pub(super) digits: u32,
}

const EUR: Currency = Currency { code: "EUR", usd_micros: 1_160_000, digits: 2 };
const USD: Currency = Currency { code: "USD", usd_micros: 1_000_000, digits: 2 };
const GBP: Currency = Currency { code: "GBP", usd_micros: 1_310_000, digits: 2 };
const JPY: Currency = Currency { code: "JPY", usd_micros: 6_500, digits: 0 };

const fn place(
    [city, region, country]: [&'static str; 3],
    [sub_continent, continent]: [&'static str; 2],
    language: &'static str,
    currency: &'static Currency,
    weight: u32,
) -> Place {
    Place { city, country, continent, region, sub_continent, language, currency, weight }
}

/// Where people live.
pub(super) const PLACES: [Place; 12] = [
    place(["Berlin", "Berlin", "Germany"], ["Western Europe", "Europe"], "de-de", &EUR, 20),
    place(["Munich", "Bavaria", "Germany"], ["Western Europe", "Europe"], "de-de", &EUR, 14),
    place(["Vienna", "Vienna", "Austria"], ["Western Europe", "Europe"], "de-at", &EUR, 6),
    place(["Paris", "Ile-de-France", "France"], ["Western Europe", "Europe"], "fr-fr", &EUR, 9),
    place(
        ["Madrid", "Community of Madrid", "Spain"],
        ["Southern Europe", "Europe"],
        "es-es",
        &EUR,
        5,
    ),
    place(
        ["Amsterdam", "North Holland", "Netherlands"],
        ["Western Europe", "Europe"],
        "nl-nl",
        &EUR,
        5,
    ),
    place(
        ["London", "England", "United Kingdom"],
        ["Northern Europe", "Europe"],
        "en-gb",
        &GBP,
        13,
    ),
    place(
        ["Manchester", "England", "United Kingdom"],
        ["Northern Europe", "Europe"],
        "en-gb",
        &GBP,
        5,
    ),
    place(
        ["New York", "New York", "United States"],
        ["Northern America", "Americas"],
        "en-us",
        &USD,
        11,
    ),
    place(
        ["Denver", "Colorado", "United States"],
        ["Northern America", "Americas"],
        "en-us",
        &USD,
        6,
    ),
    place(
        ["(not set)", "California", "United States"],
        ["Northern America", "Americas"],
        "en-us",
        &USD,
        3,
    ),
    place(["Tokyo", "Tokyo", "Japan"], ["Eastern Asia", "Asia"], "ja-jp", &JPY, 4),
];

impl Currency {
    /// An amount of US cents in this currency, rounded to its smallest unit.
    pub(super) fn local(&self, cents: i64) -> f64 {
        let scale = 10_i64.pow(self.digits);
        let units = (cents * 10_000 * scale + self.usd_micros / 2) / self.usd_micros;
        units as f64 / scale as f64
    }

    /// The local amount in US dollars, in millionths, as the export converts it.
    pub(super) fn usd(&self, local: f64) -> f64 {
        // Exact: both factors are whole numbers far below 2⁵³ once scaled.
        let cents = (local * 100.0).round() as i64;
        (cents * self.usd_micros) as f64 / 100_000_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_rounds_to_the_currency() {
        assert_eq!(USD.local(1299), 12.99);
        assert_eq!(JPY.local(1299), 1998.0);
        assert_eq!(EUR.local(11_600), 100.0);
        assert_eq!(EUR.usd(100.0), 116.0);
    }
}
