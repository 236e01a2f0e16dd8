//! The attribution models that give a whole conversion to one touch `[2.6]`.

/// An attribution model that credits one touch with the whole conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributionModel {
    /// The first non-direct touch; when all are Direct, the first touch.
    FirstClick,
    /// The first touch; Direct counts.
    FirstTouch,
    /// The last non-direct touch; when all are Direct, the last touch.
    LastClick,
    /// The last touch; Direct counts.
    LastTouch,
}

impl AttributionModel {
    /// All models, in the order of their names.
    pub const ALL: [Self; 4] =
        [Self::FirstClick, Self::FirstTouch, Self::LastClick, Self::LastTouch];

    /// The value of column `attribution_model`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstClick => "first_click",
            Self::FirstTouch => "first_touch",
            Self::LastClick => "last_click",
            Self::LastTouch => "last_touch",
        }
    }

    /// Index of the credited touch in a journey, of which `is_direct` tells each touch in order.
    ///
    /// `None` when the journey is empty.
    #[must_use]
    pub fn credited(self, is_direct: &[bool]) -> Option<usize> {
        let last = is_direct.len().checked_sub(1)?;
        let credited = match self {
            Self::FirstTouch => 0,
            Self::LastTouch => last,
            Self::FirstClick => is_direct.iter().position(|direct| !direct).unwrap_or(0),
            Self::LastClick => is_direct.iter().rposition(|direct| !direct).unwrap_or(last),
        };
        Some(credited)
    }
}

#[cfg(test)]
mod tests {
    use super::AttributionModel::{FirstClick, FirstTouch, LastClick, LastTouch};
    use super::*;

    fn credited(is_direct: &[bool]) -> [Option<usize>; 4] {
        [FirstTouch, LastTouch, FirstClick, LastClick].map(|model| model.credited(is_direct))
    }

    /// [2.6] Direct counts as a touch but never as a click, unless the whole path is Direct.
    #[test]
    fn clicks_skip_direct() {
        let path = [true, false, false, true];
        assert_eq!(credited(&path), [Some(0), Some(3), Some(1), Some(2)]);
        assert_eq!(credited(&[true, true, true]), [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(credited(&[]), [None; 4]);
    }

    #[test]
    fn names_are_sorted_like_models() {
        assert!(AttributionModel::ALL.is_sorted_by_key(|model| model.name()));
        assert!(AttributionModel::ALL.is_sorted());
    }
}
