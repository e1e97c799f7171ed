//! What is served, one file for each.

mod autoconfig;
mod autodiscover;
mod challenge;
mod metrics;
mod mta_sts;
mod profile;
mod qr;
mod settings;
mod xml;

use crate::answer::Answer;
use crate::request::Request;
use crate::server::Server;

pub use autodiscover::{XML_DEPTH_MAX, requested_address};
pub use profile::{ADDRESSES_MAX, NAME_BYTES_MAX};

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    /// Settings, as Thunderbird wants them.
    Autoconfig,
    /// Settings, as Outlook wants them.
    Autodiscover,
    /// Answers to challenges of ACME.
    Challenge,
    /// Numbers about the server.
    Metrics,
    /// The way to them.
    MetricsPage,
    /// MTA-STS policies.
    MtaSts,
    /// Settings, as programs of Apple want them.
    Profile,
    /// The way to them for a telephone.
    ProfileQr,
}

impl Handler {
    /// The name for logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Autoconfig => "autoconfig",
            Self::Autodiscover => "autodiscover",
            Self::Challenge => "acme-http-01",
            Self::Metrics | Self::MetricsPage => "metrics",
            Self::MtaSts => "mtasts",
            Self::Profile => "mobileconfig",
            Self::ProfileQr => "mobileconfigqrcodepng",
        }
    }

    /// Answers a request whose path and host are those of this handler.
    pub(crate) async fn answer(self, server: &Server, request: Request) -> Answer {
        if self == Self::Autodiscover {
            return autodiscover::answer(request).await;
        }
        // A policy is given whatever the method.
        if self != Self::MtaSts && !request.is_get() {
            return Answer::wrong_method("GET, HEAD");
        }
        match self {
            Self::Autoconfig => autoconfig::answer(&request),
            Self::Challenge => challenge::answer(server, &request),
            Self::Metrics => metrics::answer(server).await,
            Self::MetricsPage => metrics::page(),
            Self::MtaSts => mta_sts::answer(&request),
            Self::Profile => profile::answer(&request),
            Self::ProfileQr => qr::answer(&request),
            Self::Autodiscover => Answer::not_found(),
        }
    }
}
