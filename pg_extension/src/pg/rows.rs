//! Results of set-returning functions.

use pgrx::pg_sys::{self, Datum};

use super::call::Call;
use super::memory::CallMemory;
use super::store::{Store, Stored};
use crate::error::{Error, Result};

/// Hands the events over as the function's result, all at once.
pub fn return_set(call: &Call, memory: &CallMemory, store: &Store, events: &[Stored]) -> Result<Datum> {
    // SAFETY: resultinfo is looked at before it is used; the tuple store and its descriptor live in the query's memory, as
    // the protocol wants.
    unsafe {
        let info = (*call.raw()).resultinfo.cast::<pg_sys::ReturnSetInfo>();
        if info.is_null()
            || (*info).type_ != pg_sys::NodeTag::T_ReturnSetInfo
            || (*info).allowedModes as u32 & pg_sys::SetFunctionReturnMode::SFRM_Materialize == 0
        {
            return Err(Error::bad(
                "a set cannot be returned here",
                "Call the function in FROM: select * from domain_events.append_events(..).",
            ));
        }
        memory.outer(|| {
            pg_sys::CurrentMemoryContext = (*(*info).econtext).ecxt_per_query_memory;
            let random_access =
                (*info).allowedModes as u32 & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random != 0;
            let result = pg_sys::tuplestore_begin_heap(random_access, false, pg_sys::work_mem);
            let descriptor = pg_sys::CreateTupleDescCopy(store.tuple_desc());
            for event in events {
                pg_sys::tuplestore_puttuple(result, event.tuple);
            }
            (*info).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
            (*info).setResult = result;
            (*info).setDesc = descriptor;
        });
    }
    call.set_null();
    Ok(Datum::from(0))
}
