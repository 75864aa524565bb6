//! The parameters in a database's URL.

/// The parameters that the driver knows, besides `options[NAME]`.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// The URL without the parameters that the driver does not know, and their names. The driver would log them with their values, and one
/// of them is `sslpassword`.
pub(super) fn known(url: &str) -> (String, Vec<String>) {
    let Some((place, rest)) = url.split_once('?') else { return (url.to_owned(), Vec::new()) };
    let (query, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (known, unknown): (Vec<&str>, Vec<&str>) = query.split('&').filter(|it| !it.is_empty()).partition(|it| {
        let name = name(it);
        KNOWN.contains(&name.as_str()) || (name.starts_with("options[") && name.ends_with(']'))
    });
    let mut url = place.to_owned();
    for (parameter, separator) in known.iter().zip(std::iter::once('?').chain(std::iter::repeat('&'))) {
        url.push(separator);
        url.push_str(parameter);
    }
    if !fragment.is_empty() {
        url.push('#');
        url.push_str(fragment);
    }
    (url, unknown.into_iter().map(name).collect())
}

/// The name of a parameter. Brackets may be encoded.
fn name(parameter: &str) -> String {
    let name = parameter.split('=').next().unwrap_or_default();
    name.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_left_out_and_named_without_their_values() {
        let url = "postgres://u:p@h/d?sslpassword=secret&sslmode=require&options%5Bgeqo%5D=off&passfile=x";
        let left = "postgres://u:p@h/d?sslmode=require&options%5Bgeqo%5D=off";
        assert_eq!(known(url), (left.to_owned(), vec!["sslpassword".to_owned(), "passfile".to_owned()]));
        for url in ["postgres://u:p@h/d", "postgres://u:p@h/d?sslmode=require&host=/tmp", "not a url"] {
            assert_eq!(known(url), (url.to_owned(), Vec::new()));
        }
        assert_eq!(known("postgres://h/d?sslpassword=secret").0, "postgres://h/d");
    }

    #[test]
    fn the_driver_knows_each_known_parameter() {
        use sqlx::postgres::PgConnectOptions;
        for name in KNOWN {
            let value = match name {
                "sslmode" | "ssl-mode" => "require",
                "hostaddr" => "127.0.0.1",
                "port" | "statement-cache-capacity" => "7",
                _ => "v",
            };
            let url = format!("postgres://h/d?{name}={value}");
            let parsed = |url: &str| format!("{:?}", url.parse::<PgConnectOptions>().expect("it is a URL"));
            assert_ne!(parsed(&url), parsed("postgres://h/d"), "{name} changes nothing");
        }
    }
}
