//! What must hold after every test: SPEC's universal invariant.

use crate::{Db, Session};

/// The settings under which captured values are rendered.
pub const RENDERING: &str = "set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; \
                     set bytea_output = 'hex'; set extra_float_digits = 1; set lc_monetary = 'C';";

impl Db {
    /// Versions are 1..n in every stream, and positions and times rise with them.
    pub fn check_versions(&self) {
        let mut s = self.admin();
        let gaps = s.table(
            "select aggregate_type, aggregate_id, min(aggregate_version), max(aggregate_version), count(*)
               from domain_events.events group by 1, 2
             having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)
              limit 10",
        );
        assert_eq!(gaps, "", "streams whose versions are not 1..n (type|id|min|max|count)");
        let order = s.table(
            "select * from (
               select aggregate_type, aggregate_id, aggregate_version,
                      global_position <= lag(global_position) over w as position_falls,
                      recorded_at <= lag(recorded_at) over w as time_falls
                 from domain_events.events window w as (partition by aggregate_type, aggregate_id order by aggregate_version)) e
              where position_falls or time_falls limit 10",
        );
        assert_eq!(order, "", "events that do not rise within their stream (type|id|version|position|time)");
    }

    /// [`Db::check_versions`], of one type, also while something is missing elsewhere.
    pub fn check_versions_of(&self, aggregate_type: &str) {
        let gaps = self.admin().table(&format!(
            "select aggregate_id, min(aggregate_version), max(aggregate_version), count(*)
               from domain_events.events where aggregate_type = '{aggregate_type}' group by 1
             having min(aggregate_version) <> 1 or max(aggregate_version) <> count(*)"
        ));
        assert_eq!(gaps, "", "streams of {aggregate_type} whose versions are not 1..n (id|min|max|count)");
    }

    /// Versions, and: for each row of `rows` (`id text, row jsonb`, read under the fixed settings) the fold of its stream
    /// is that row, to the last byte; every other stream of the type folds to nothing. Nothing waits as a dead letter.
    pub fn check_fold(&self, aggregate_type: &str, rows: &str) {
        self.check_versions();
        let mut s = self.admin();
        s.run(RENDERING);
        let lost = s.table(
            "select table_name, operation, aggregate_id, error_code, left(error_message, 500)
               from domain_events.capture_failures where stored_version is null limit 3",
        );
        assert_eq!(lost, "", "changes that could not be captured (table|operation|id|code|message)");
        let wrong = differences(&mut s, aggregate_type, rows);
        assert_eq!(wrong, "", "streams of {aggregate_type} whose fold is not the row (id|row|fold)");
    }

    /// [`Db::check_fold`] for a table whose every column is captured and whose identity is the column `id`.
    pub fn check_table(&self, aggregate_type: &str, table: &str) {
        self.check_fold(aggregate_type, &format!("select t.id::text, to_jsonb(t) from {table} t"));
    }
}

fn differences(s: &mut Session, aggregate_type: &str, rows: &str) -> String {
    s.table(&format!(
        "with want(id, value) as ({rows}),
              got as (select distinct aggregate_id collate \"default\" as id from domain_events.events
                       where aggregate_type = '{aggregate_type}')
         select id, left(value::text, 1000), left(fold::text, 1000)
           from (select id, want.value, domain_events.fold_stream('{aggregate_type}', id) as fold
                   from got full join want using (id)) both_sides
          where value::text is distinct from fold::text
          limit 10"
    ))
}
