// A channel's colour follows its name, never its rank; names without a colour of their own share one.
const CLASSES = {
  "paid search": "ch-paid-search", "organic search": "ch-organic", email: "ch-email",
  "organic social": "ch-social", "paid social": "ch-social", referral: "ch-referral", display: "ch-display", direct: "ch-direct",
};

/** The CSS class that sets `--ch`. */
export const channelClass = (name) => CLASSES[String(name).toLowerCase()] ?? "ch-other";
