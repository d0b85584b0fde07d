"""Statistics and judgement: no flags, no HTML, no YAML, no network and no clock."""
