//! Suggestions for a misspelled word.

/// Two words with at least this similarity are alike. clap uses the same number for flags.
const ALIKE: f64 = 0.7;

/// The candidate most similar to the word, if one is similar enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|candidate| (strsim::jaro(word, candidate), candidate));
    scored.filter(|(score, _)| *score > ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, candidate)| candidate)
}

/// `; did you mean ...?`, or nothing.
pub(crate) fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|it| format!("; did you mean `{it}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_found_and_another_word_is_not() {
        let keys = ["lease-timeout", "accept-timeout", "listen"];
        assert_eq!(nearest("lease_timout", keys), Some("lease-timeout"));
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("zzz", keys), None);
        assert_eq!(suggestion("lisen", keys), "; did you mean `listen`?");
    }
}
