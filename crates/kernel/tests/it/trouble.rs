//! What the kernel says and nobody hears: with planted losses, as they happen where memory is short.

use std::net::Ipv4Addr;

use oncilla_kernel::calls::Call;
use oncilla_kernel::calls::trouble::{Trouble, plant};
use oncilla_kernel::nf_tables::{Batch, BatchError, Socket};
use oncilla_nft::object::{Element, FieldType, Set, Table};

use super::nf_tables::{TABLE, inside};

const ENOMEM: i32 = 12;
const ENOBUFS: i32 = 105;
/// More than fit into a few datagrams.
const ELEMENTS: u32 = 5_000;

/// The n-th call of a sort, counted from 0, has this trouble; whether it came to that.
fn at(call: Call, number: usize, trouble: Trouble, work: impl FnOnce()) -> bool {
    use std::cell::Cell;
    use std::rc::Rc;
    let made = Rc::new(Cell::new(0));
    let counted = Rc::clone(&made);
    let planted = plant(move |made| {
        if made != call {
            return Trouble::None;
        }
        counted.set(counted.get() + 1);
        if counted.get() == number + 1 {
            trouble
        } else {
            Trouble::None
        }
    });
    work();
    drop(planted);
    made.get() > number
}

fn set() -> Set {
    Set::new("hosts", FieldType::Ipv4Addr)
}

fn element(number: u32) -> Element {
    Element::new(Ipv4Addr::from(0x0a00_0000 + number))
}

fn table() -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.add_table(&Table::new(TABLE)).add_set(&set());
    batch
}

#[test]
fn a_refusal_that_nobody_heard_is_no_success() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let unheard = Trouble::RefusesUnheard(ENOMEM);
        assert!(at(Call::SendChanges, 0, unheard, || {
            let error = socket.commit(&table()).unwrap_err();
            assert!(matches!(error, BatchError::NoAnswer { .. }), "{error:?}");
        }));
        assert_eq!(socket.tables().unwrap(), []);
        socket.commit(&table()).unwrap();
        assert_eq!(socket.tables().unwrap().len(), 1);
    });
}

#[test]
fn a_list_of_which_any_part_was_lost_is_read_again() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        let mut all = table();
        all.add_elements(&set(), (0..ELEMENTS).map(element));
        socket.commit(&all).unwrap();
        let whole = socket.read_table(TABLE).unwrap().unwrap();
        assert_eq!(whole.sets["hosts"].1.len(), ELEMENTS as usize);
        let mut number = 0;
        while at(Call::ReceiveAnswer, number, Trouble::Lost(ENOBUFS), || {
            assert_eq!(
                socket.read_table(TABLE).unwrap().unwrap(),
                whole,
                "{number}"
            );
        }) {
            number += 1;
        }
        assert!(number > 10, "{number} answers");
    });
}
