//! The keys of web handlers.

use std::collections::BTreeMap;

use mox_base::Domain;
use mox_sconf::settings;

use crate::text::{Pattern, Text, words};

words! {
    /// A service of this server.
    pub enum WebServiceName, "service", {
        /// Admin pages.
        #[default]
        "admin" => Admin,
        /// Account pages.
        "account" => Account,
        /// Webmail.
        "webmail" => Webmail,
        /// HTTP API.
        "webapi" => Webapi,
    }
}

settings! {
    /// What to do with requests for a domain and path: exactly one of the last four.
    pub struct WebHandler {
        /// Name in logs. Default: the number of the handler.
        "LogName" optional => log_name: String,
        /// Domain of the request.
        "Domain" => domain: Text<Domain>,
        /// Regular expression for the path, starting with ^.
        "PathRegexp" => path_regexp: Text<Pattern>,
        /// Answer requests in plain text too, instead of redirecting them to HTTPS.
        "DontRedirectPlainHTTP" optional => dont_redirect_plain_http: bool,
        /// Compress answers.
        "Compress" optional => compress: bool,
        /// Serve files.
        "WebStatic" optional => web_static: Option<WebStatic>,
        /// Redirect.
        "WebRedirect" optional => web_redirect: Option<WebRedirect>,
        /// Forward to another web server.
        "WebForward" optional => web_forward: Option<WebForward>,
        /// Serve pages of this server.
        "WebInternal" optional => web_internal: Option<WebInternal>,
    }

    /// Files of a directory.
    pub struct WebStatic {
        /// What to cut off the start of the path before looking for the file, such as /files/.
        "StripPrefix" optional => strip_prefix: String,
        /// Directory. A relative path starts at the working directory of the server.
        "Root" => root: String,
        /// Show the names of the files of a directory that has no index.html.
        "ListFiles" optional => list_files: bool,
        /// Go on with the next handler if there is no such file.
        "ContinueNotFound" optional => continue_not_found: bool,
        /// Headers to add to the answer.
        "ResponseHeaders" optional => response_headers: BTreeMap<String, String>,
    }

    /// A redirect.
    pub struct WebRedirect {
        /// Scheme, host, query and fragment to redirect to; the path must be empty.
        "BaseURL" optional => base_url: String,
        /// Regular expression for the part of the path to replace.
        "OrigPathRegexp" optional => orig_path_regexp: Text<Pattern>,
        /// What to put there; $1 is the first group of the regular expression.
        "ReplacePath" optional => replace_path: String,
        /// HTTP status from 300 to 399. Default: 308.
        "StatusCode" optional => status_code: u16,
    }

    /// Another web server.
    pub struct WebForward {
        /// Cut what the path regular expression matched off the path.
        "StripPath" optional => strip_path: bool,
        /// Where to send requests, http or https.
        "URL" => url: String,
        /// Headers to add to the answer.
        "ResponseHeaders" optional => response_headers: BTreeMap<String, String>,
    }

    /// Pages of this server.
    pub struct WebInternal {
        /// Path that they are served under, starting and ending with a slash.
        "BasePath" => base_path: String,
        /// admin, account, webmail or webapi.
        "Service" => service: Text<WebServiceName>,
    }
}
