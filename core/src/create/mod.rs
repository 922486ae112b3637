//! A plan of hash jobs that ends in metainfo.
