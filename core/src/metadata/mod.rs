//! The info dictionary from peers and to peers (BEP 9).
