//! Tests over the whole crate, with one document type that has every form of value.

mod edit;
mod properties;
mod syntax;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::{Duration, settings};

settings! {
    /// A zoo.
    pub(crate) struct Zoo {
        /// What it is called.
        "Name" => name: String,
        /// Whether it is open.
        "Open" optional => open: bool,
        /// How many came
        /// yesterday.
        ///
        /// Counted at the gate, by a person with a mechanical counter that has not been oiled since.
        "Visitors" optional => visitors: u32,
        /// Sun.
        "Ratio" optional => ratio: f64,
        /// At noon.
        "Break" optional => pause: Duration,
        /// Who is in charge.
        "Keeper" optional => keeper: Option<Keeper>,
        /// Where.
        "Place" optional => place: Place,
        /// By name.
        "Pens" => pens: BTreeMap<String, Pen>,
        /// Free.
        "Tags" optional => tags: Vec<String>,
        /// Guided.
        "Tours" optional => tours: Vec<Tour>,
        /// Gates.
        "Gates" optional => gates: Vec<IpAddr>,
    }

    /// A keeper.
    pub(crate) struct Keeper {
        /// In years.
        "Age" optional => age: Option<i64>,
        /// Written.
        "Note" optional => note: String,
    }

    /// A place.
    pub(crate) struct Place {
        /// Named.
        "Town" => town: String,
    }

    /// A pen.
    pub(crate) struct Pen {
        /// Kind.
        "Animal" optional => animal: String,
        /// How many.
        "Count" optional => count: u16,
    }

    /// A tour.
    pub(crate) struct Tour {
        /// Of day.
        "Hour" => hour: u16,
        /// On foot.
        "Stops" optional => stops: Vec<String>,
    }
}
