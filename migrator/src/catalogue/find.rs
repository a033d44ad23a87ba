//! What a name means in a catalogue, and what belongs to what.

use super::{Catalogue, Function, RegisteredTable, Relation, Treat, Trigger};

impl Catalogue {
    /// A number that nothing in it has.
    pub fn next_oid(&self) -> u32 {
        let of_relations = self.relations.iter().map(|r| r.oid);
        let of_functions = self.functions.iter().map(|f| f.oid);
        of_relations.chain(of_functions).chain(self.triggers.iter().map(|t| t.oid)).max().unwrap_or(0) + 1
    }

    /// A relation by OID.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.iter().find(|r| r.oid == oid)
    }

    /// A function by OID.
    pub fn function(&self, oid: u32) -> Option<&Function> {
        self.functions.iter().find(|f| f.oid == oid)
    }

    /// The relation that a name means inside a function with this search path. Names differ where schemas rarely do: they are
    /// compared first.
    pub fn resolve_relation(&self, schema: &str, name: &str, path: &[String]) -> Option<&Relation> {
        resolve(schema, path, |s| self.relations.iter().find(|r| r.name == name && r.schema == s))
    }

    /// What a person says of a table.
    pub fn treat(&self, relation: &Relation) -> Option<Treat> {
        let path = std::slice::from_ref(&relation.schema);
        self.treats.iter().find(|(name, _)| relation.is_called(name, path)).map(|(_, treat)| *treat)
    }

    /// The function that a call means, if its name and number of arguments leave no doubt.
    pub fn resolve_function(&self, schema: &str, name: &str, arguments: usize, path: &[String]) -> Option<&Function> {
        resolve(schema, path, |s| {
            let mut found = self.functions.iter().filter(|f| f.name == name && f.schema == s);
            match (found.next(), found.next()) {
                (Some(only), None) => Some(only),
                (None, _) => None,
                _ => {
                    let mut fitting = self
                        .functions
                        .iter()
                        .filter(|f| f.name == name && f.schema == s && f.arguments.len() == arguments);
                    fitting.next().filter(|_| fitting.next().is_none())
                }
            }
        })
    }

    /// The search path in which a function's body is run.
    pub fn path_of<'a>(&'a self, function: &'a Function) -> &'a [String] {
        function.search_path.as_deref().unwrap_or(&self.search_path)
    }

    /// The search path in which a function's body is run for a trigger of a table in this schema. Whoever writes a table of a tenant,
    /// whose schema is not in the role's own path, has it first in theirs; whoever calls a library that lies in a schema of its own has
    /// that in theirs, behind all others.
    pub fn path_at(&self, function: &Function, home: Option<&str>) -> Vec<String> {
        let own = self.path_of(function);
        let missing = |schema: &&str| function.search_path.is_none() && !own.iter().any(|s| s == schema);
        let home = home.filter(missing);
        let library = Some(function.schema.as_str()).filter(missing).filter(|s| Some(*s) != home && *s != "pg_catalog");
        let (home, library) = (home.map(str::to_owned), library.map(str::to_owned));
        home.into_iter().chain(own.iter().cloned()).chain(library).collect()
    }

    /// The tool's own INSTEAD OF INSERT trigger, if the relation is the view of an adopted event table.
    pub fn adopting_trigger(&self, relation: u32) -> Option<&Trigger> {
        self.triggers.iter().find(|t| {
            t.relation == relation
                && t.timing == "INSTEAD OF"
                && t.enabled != "D"
                && self.function(t.function).is_some_and(Function::adopts)
        })
    }

    /// Whether a trigger is a plan's shim.
    pub fn is_shim(&self, trigger: &Trigger) -> bool {
        self.function(trigger.function).is_some_and(|f| f.is_own() && !f.adopts())
    }

    /// Whether a shim gives the rows of a table their versions.
    pub fn has_shim(&self, relation: u32) -> bool {
        self.triggers.iter().any(|t| t.relation == relation && t.enabled != "D" && self.is_shim(t))
    }

    /// What the store knows of a legacy event table.
    pub fn registered(&self, relation: u32) -> Option<&RegisteredTable> {
        self.store.as_ref()?.event_tables.iter().find(|t| t.oid == relation)
    }
}

fn resolve<'a, T>(schema: &str, path: &[String], find: impl Fn(&str) -> Option<&'a T>) -> Option<&'a T> {
    if schema.is_empty() { path.iter().find_map(|s| find(s)) } else { find(schema) }
}
