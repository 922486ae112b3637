//! Digests of v1 pieces, v2 Merkle trees and hash requests, blame of block senders.
