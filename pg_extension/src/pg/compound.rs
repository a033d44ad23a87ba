//! Arrays and composite values as JSON.

use std::ffi::c_int;

use pgrx::pg_sys::{self, Datum, Oid};

use super::render::{Element, Render};
use crate::error::Result;
use crate::jsonb::{Entry, Writer, key_order};

/// # Safety
/// `value` is an array of this element type.
pub unsafe fn array(writer: &mut Writer, element: &Element, value: Datum) -> Result<Entry> {
    // SAFETY: caller's promise; the elements live in the call's memory.
    unsafe {
        let array: *mut pg_sys::ArrayType = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let dimensions = (*array).ndim as usize;
        if dimensions == 0 {
            let empty = writer.array(0);
            return writer.end(empty);
        }
        let sizes = std::slice::from_raw_parts(
            array.cast::<u8>().add(size_of::<pg_sys::ArrayType>()).cast::<i32>(),
            dimensions,
        );
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            (*array).elemtype,
            c_int::from(element.length),
            element.by_value,
            element.align,
            &mut values,
            &mut nulls,
            &mut count,
        );
        let values = std::slice::from_raw_parts(values, count as usize);
        let nulls = std::slice::from_raw_parts(nulls, count as usize);
        let mut next = 0;
        level(writer, &element.render, sizes, values, nulls, &mut next)
    }
}

fn level(
    writer: &mut Writer,
    render: &Render,
    sizes: &[i32],
    values: &[Datum],
    nulls: &[bool],
    next: &mut usize,
) -> Result<Entry> {
    let size = sizes[0] as usize;
    let mut array = writer.array(size);
    for _ in 0..size {
        let entry = if sizes.len() > 1 {
            level(writer, render, &sizes[1..], values, nulls, next)?
        } else {
            let position = *next;
            *next += 1;
            if nulls[position] { writer.null() } else { render.write(writer, values[position], None)? }
        };
        writer.add(&mut array, entry)?;
    }
    writer.end(array)
}

/// # Safety
/// `value` is of a composite type.
pub unsafe fn composite(writer: &mut Writer, value: Datum) -> Result<Entry> {
    // SAFETY: caller's promise; the row type is looked up from the value itself, so it is the one it was stored with. Types
    // are made of types, as deep as somebody likes.
    unsafe {
        pg_sys::check_stack_depth();
        let header: pg_sys::HeapTupleHeader = pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast();
        let descriptor = pg_sys::lookup_rowtype_tupdesc_copy(
            pgrx::heap_tuple_header_get_type_id(header),
            pgrx::heap_tuple_header_get_typmod(header),
        );
        let count = (*descriptor).natts as usize;
        let mut tuple = pg_sys::HeapTupleData {
            t_len: pgrx::varlena::varsize_any(header.cast()) as u32,
            t_data: header,
            ..Default::default()
        };
        let mut values = vec![Datum::from(0); count];
        let mut nulls = vec![true; count];
        pg_sys::heap_deform_tuple(&mut tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        let mut columns = super::columns::of(descriptor);
        columns.sort_by(|a, b| key_order(&a.name, &b.name));
        let mut object =
            writer.object(columns.iter().map(|column| column.name.as_slice()).collect::<Vec<_>>().into_iter())?;
        for column in &columns {
            let entry = if nulls[column.index] {
                writer.null()
            } else {
                Render::of(column.type_oid, pg_sys::CurrentMemoryContext).write(writer, values[column.index], None)?
            };
            writer.add(&mut object, entry)?;
        }
        writer.end(object)
    }
}

/// True for values whose text depends on the search_path: names of objects, also inside of other values.
pub fn names_objects(type_oid: Oid) -> bool {
    const NAMES: [Oid; 9] = [
        pg_sys::REGCLASSOID,
        pg_sys::REGCOLLATIONOID,
        pg_sys::REGCONFIGOID,
        pg_sys::REGDICTIONARYOID,
        pg_sys::REGOPEROID,
        pg_sys::REGOPERATOROID,
        pg_sys::REGPROCOID,
        pg_sys::REGPROCEDUREOID,
        pg_sys::REGTYPEOID,
    ];
    // SAFETY: catalogue look-ups, which give zero where there is nothing; the descriptor is a copy.
    unsafe {
        pg_sys::check_stack_depth();
        let base = pg_sys::getBaseType(type_oid);
        let inner =
            [pg_sys::get_element_type(base), pg_sys::get_range_subtype(base), pg_sys::get_multirange_range(base)];
        NAMES.contains(&base)
            || inner.into_iter().any(|inner| inner != Oid::INVALID && names_objects(inner))
            || pg_sys::get_typ_typrelid(base) != Oid::INVALID
                && super::columns::of(pg_sys::lookup_rowtype_tupdesc_copy(base, -1))
                    .iter()
                    .any(|column| names_objects(column.type_oid))
    }
}

/// The composite types that a row is made of: their relations, each with a number that changes with its columns.
#[derive(Default, Clone)]
pub struct Composites(Vec<(Oid, u64)>);

impl Composites {
    pub fn add(&mut self, type_oid: Oid) {
        use std::hash::{Hash, Hasher};
        // SAFETY: catalogue look-ups; the descriptor is a copy.
        unsafe {
            pg_sys::check_stack_depth();
            let base = pg_sys::getBaseType(type_oid);
            let element = pg_sys::get_element_type(base);
            if element != Oid::INVALID {
                return self.add(element);
            }
            let relation = pg_sys::get_typ_typrelid(base);
            if relation == Oid::INVALID || self.contains(relation) {
                return;
            }
            let columns = super::columns::of(pg_sys::lookup_rowtype_tupdesc_copy(base, -1));
            let mut hasher = std::hash::DefaultHasher::new();
            for column in &columns {
                (column.index, &column.name, column.type_oid.to_u32()).hash(&mut hasher);
            }
            self.0.push((relation, hasher.finish()));
            columns.iter().for_each(|column| self.add(column.type_oid));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, relation: Oid) -> bool {
        self.0.iter().any(|(known, _)| *known == relation)
    }

    /// No type that both have has got other columns.
    pub fn agrees_with(&self, other: &Composites) -> bool {
        self.0
            .iter()
            .all(|(relation, columns)| other.0.iter().all(|(known, then)| known != relation || then == columns))
    }
}
