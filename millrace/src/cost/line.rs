//! Lines of the bill.

use serde::Serialize;
use services::price::{GIB, MONTH_DAYS, Price, S3_STORAGE};

/// One line of the bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What is paid for.
    pub item: &'static str,
    /// How much of it, for the whole site and a month.
    pub amount: f64,
    /// What is counted.
    pub unit: &'static str,
    /// Dollars for it.
    pub dollars: f64,
    /// Whether one PUT, one message, one GET and one record per frame would be paid for by this line.
    #[serde(skip)]
    pub(super) is_transport: bool,
}

impl Line {
    pub(super) fn transport(item: &'static str, amount: f64, price: &Price) -> Self {
        Self { is_transport: true, ..Self::other(item, amount, price) }
    }

    pub(super) fn other(item: &'static str, amount: f64, price: &Price) -> Self {
        Self { item, amount, unit: price.unit, dollars: price.of(amount), is_transport: false }
    }

    /// A steady state: as many bytes go as come in a month.
    pub(super) fn kept(item: &'static str, bytes_per_month: f64, days: f64) -> Self {
        Self::other(item, bytes_per_month / GIB * days / MONTH_DAYS, &S3_STORAGE)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.amount += other.amount;
        self.dollars += other.dollars;
    }
}
