//! Functions that PostgreSQL lacks. A plan creates those that its ports call, in the schema of the tables, and no other.

use domain_events_sql::quote::quote_body;

/// Last words of the comment on each, by which the tool knows it again.
pub const MARK: &str = "; made by domain-events";

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Helper {
    /// The number that a text begins with.
    Number,
    /// JSON_MERGE_PATCH.
    MergePatch,
    /// JSON_MERGE_PRESERVE.
    MergePreserve,
    /// JSON_VALID.
    JsonValid,
    /// A path of JSON known only at run time.
    JsonPath,
    /// SUBSTRING with a position known only at run time.
    Substr,
    /// UUID_TO_BIN(.., 1).
    UuidSwap,
    /// BIN_TO_UUID(.., 1).
    UuidUnswap,
}

impl Helper {
    /// All of them.
    pub const ALL: &[Helper] = &[
        Helper::Number,
        Helper::MergePatch,
        Helper::MergePreserve,
        Helper::JsonValid,
        Helper::JsonPath,
        Helper::Substr,
        Helper::UuidSwap,
        Helper::UuidUnswap,
    ];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "mysql_number",
            Self::MergePatch => "mysql_json_merge_patch",
            Self::MergePreserve => "mysql_json_merge_preserve",
            Self::JsonValid => "mysql_json_valid",
            Self::JsonPath => "mysql_json_path",
            Self::Substr => "mysql_substr",
            Self::UuidSwap => "mysql_uuid_to_bin_swapped",
            Self::UuidUnswap => "mysql_bin_to_uuid_swapped",
        }
    }

    /// Its arguments as PostgreSQL names the function by.
    pub fn arguments(self) -> &'static str {
        match self {
            Self::Number | Self::JsonValid | Self::JsonPath => "value text",
            Self::MergePatch | Self::MergePreserve => "target jsonb, patch jsonb",
            Self::Substr => "value text, start bigint, length bigint",
            Self::UuidSwap => "value uuid",
            Self::UuidUnswap => "value bytea",
        }
    }

    /// The statement that makes it in a schema, given quoted.
    pub fn definition(self, schema: &str) -> String {
        let name = format!("{schema}.{}", self.name());
        let arguments = self.arguments();
        let (returns, body, comment) = match self {
            Self::Number => (
                "numeric",
                "select coalesce(substring(value from '^\\s*([+-]?(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][+-]?\\d+)?)')::numeric, 0) where value is not null".to_owned(),
                "The number that a text begins with, 0 if none, as MySQL reads a text as a number",
            ),
            Self::MergePatch => (
                "jsonb",
                format!(
                    "select case when target is null or patch is null then null
    when jsonb_typeof(patch) <> 'object' then patch
    else (select coalesce(jsonb_object_agg(k, v), '{{}}') from (
           select coalesce(p.key, t.key) as k,
                  case when p.key is null then t.value
                       when jsonb_typeof(p.value) <> 'object' then p.value
                       else {name}(coalesce(t.value, '{{}}'), p.value) end as v
             from jsonb_each(case jsonb_typeof(target) when 'object' then target else '{{}}' end) t
             full join jsonb_each(patch) p on p.key = t.key) merged
          where not (patch ? k and patch -> k = 'null')) end"
                ),
                "JSON_MERGE_PATCH of MySQL: RFC 7396",
            ),
            Self::MergePreserve => (
                "jsonb",
                format!(
                    "select case when target is null or patch is null then null
    when jsonb_typeof(target) = 'object' and jsonb_typeof(patch) = 'object' then
      (select coalesce(jsonb_object_agg(coalesce(t.key, p.key), case when t.key is null then p.value when p.key is null then t.value
                       else {name}(t.value, p.value) end), '{{}}')
         from jsonb_each(target) t full join jsonb_each(patch) p on p.key = t.key)
    else (case jsonb_typeof(target) when 'array' then target else jsonb_build_array(target) end)
      || (case jsonb_typeof(patch) when 'array' then patch else jsonb_build_array(patch) end) end"
                ),
                "JSON_MERGE_PRESERVE of MySQL",
            ),
            Self::JsonPath => (
                "text[]",
                "select array(select coalesce(replace(m[1], '\\\"', '\"'), m[2], m[3]) from regexp_matches(substr(value, 2), '\\.\"((?:[^\"\\\\]|\\\\.)*)\"|\\.([^.\\[\"]+)|\\[\\s*(\\d+)\\s*\\]', 'g') m) where value is not null".to_owned(),
                "A path of MySQL's JSON functions, without wildcards, as the path that jsonb takes",
            ),
            Self::Substr => (
                "text",
                "select case when start = 0 or length < 1 then '' when start > 0 then left(substr(value, start::int), least(length, 2147483647)::int)
    when -start > char_length(value) then '' else left(right(value, (-start)::int), least(length, 2147483647)::int) end
 where value is not null and start is not null and length is not null"
                    .to_owned(),
                "SUBSTRING of MySQL: a negative start counts from the end",
            ),
            Self::UuidSwap => (
                "bytea",
                "select substr(b, 7, 2) || substr(b, 5, 2) || substr(b, 1, 4) || substr(b, 9) from (select uuid_send(value)) u(b)".to_owned(),
                "UUID_TO_BIN(value, 1) of MySQL",
            ),
            Self::UuidUnswap => (
                "text",
                "select encode(substr(value, 5, 4) || substr(value, 3, 2) || substr(value, 1, 2) || substr(value, 9), 'hex')::uuid::text".to_owned(),
                "BIN_TO_UUID(value, 1) of MySQL",
            ),
            Self::JsonValid => {
                return format!(
                    "create or replace function {name}({arguments}) returns integer\nlanguage plpgsql immutable strict set search_path = pg_catalog, pg_temp\nas {body};\ncomment on function {name}({types}) is 'JSON_VALID of MySQL{comment}';",
                    body = quote_body("helper", "\nbegin\n  perform value::json;\n  return 1;\nexception when invalid_text_representation or untranslatable_character then\n  return 0;\nend\n"),
                    comment = MARK,
                    types = self.types(),
                );
            }
        };
        // one that calls itself does not exist yet when SQL checks its body
        let recursive = matches!(self, Self::MergePatch | Self::MergePreserve);
        let (language, body) = if recursive {
            let expression = body.strip_prefix("select ").unwrap_or(&body);
            ("plpgsql", format!("begin\n  return ({expression});\nend"))
        } else {
            ("sql", body)
        };
        format!(
            "create or replace function {name}({arguments}) returns {returns}\nlanguage {language} immutable set search_path = pg_catalog, pg_temp\nas {body};\ncomment on function {name}({types}) is {comment};",
            body = quote_body("helper", &format!("\n {body}\n")),
            types = self.types(),
            comment = super::value::literal(&format!("{comment}{}", MARK)),
        )
    }

    /// The types of its arguments.
    pub fn types(self) -> &'static str {
        match self {
            Self::Number | Self::JsonValid | Self::JsonPath => "text",
            Self::MergePatch | Self::MergePreserve => "jsonb, jsonb",
            Self::Substr => "text, bigint, bigint",
            Self::UuidSwap => "uuid",
            Self::UuidUnswap => "bytea",
        }
    }
}
