// SPDX-License-Identifier: Apache-2.0
// What a client and wardend say to each other over the session socket (SOCK_SEQPACKET): one packet a message, a
// fixed header, a fixed body for the kind, then its tail (text or data). Little-endian, no pointers.
//
// A request carries a number of the client's choice; its reply repeats it. Replies to numbers nobody awaits are
// dropped: after a worker's restart a request may be sent, and answered, twice. Every request is therefore safe to
// repeat (a reset is by its token).
#pragma once

#include <cstddef>
#include <cstdint>

namespace warden::shm {

inline constexpr std::uint32_t kMessageMagic = 0x4e44'5257;  // "WRDN"
inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::size_t kMaxMessageBytes = 64 * 1024;
inline constexpr std::size_t kMaxDataBytes = 32 * 1024;  // of one tile read or write
inline constexpr std::size_t kMaxMessageFds = 5;
inline constexpr std::size_t kDeviceNameBytes = 240;
inline constexpr std::size_t kSessionNameBytes = 32;
inline constexpr const char* kDefaultSocketPath = "/run/warden/warden.sock";

enum class MessageKind : std::uint16_t {
  kHello = 1,             // Hello; the first message of a session
  kWelcome = 2,           // Welcome + descriptors directory, ledger, doorbell [, notification socket] [, liveness page]
  kReply = 3,             // to everything else: Header.code, then the body named below, or the error's text
  kListen = 4,            // Listen; the reply has no body
  kOpenDevice = 5,        // OpenDevice; replied with DeviceOpened
  kRead = 6,              // TileAccess; replied with the data
  kWrite = 7,             // TileAccess + data; no body in the reply
  kBroadcast = 8,         // TileAccess (rectangle) + data; no body in the reply
  kRead32 = 9,            // TileAccess; replied with 4 bytes
  kWrite32 = 10,          // TileAccess + 4 bytes; no body in the reply
  kReset = 11,            // ResetRequest + JSON text {"devices":[...],"reason":"..."}; replied with ResetStarted
  kReport = 12,           // ReportRequest; replied with JSON text: the report of that reset
  kExtend = 13,           // ExtendRequest; replied with ExtendGranted
  kListDevices = 14,      // no body; replied with JSON text
  kListSessions = 15,     // no body; replied with JSON text
  kListAllocations = 16,  // ListAllocations; replied with JSON text
  kStatus = 17,           // no body; replied with JSON text
  kReserveWindow = 18,    // ReserveWindow; replied with WindowReserved
  kReleaseWindow = 19,    // ReleaseWindow; no body in the reply, also when there is no such window
  kMapDma = 20,           // MapDma; replied with DmaMapped and the memory's descriptor
  kUnmapDma = 21,         // UnmapDma; no body in the reply, also when there is no such buffer
  kBatch = 22,            // Batch, its operations, the data of its writes; replied with BatchResult and what follows it
  kDirectGrant = 23,      // DirectGrant; replied with DirectGranted and its descriptors
};

// JSON replies longer than this travel in a sealed memfd (one descriptor, empty tail).
inline constexpr std::size_t kInlineTextBytes = 48 * 1024;

struct Header {
  std::uint32_t magic;
  std::uint16_t kind;
  std::uint16_t version;
  std::uint32_t request;  // the client's number
  std::uint32_t code;     // of a reply: 0 or warden::Code; the tail is then the error's text
  std::uint64_t reserved;
};
static_assert(sizeof(Header) == 24);

inline constexpr std::uint32_t kHelloPollable = 1;  // wants a notification socket: a byte for every event
inline constexpr std::uint32_t kHelloLedger = 2;    // comes with one descriptor: the ledger of an attachment before
inline constexpr std::uint32_t kHelloLiveness = 4;  // wants the liveness page, where wardend has one

struct Hello {
  std::uint32_t flags;
  std::int32_t subject_pid;  // whose death ends this session's debts (a wrapper names its command); 0: itself
  std::uint64_t reserved;
  char name[kSessionNameBytes];
};
static_assert(sizeof(Hello) == 48);

struct Welcome {
  std::uint64_t session_id;
  std::uint64_t instance_id;
  std::uint64_t active_reset_id;  // already under way: owe it nothing, but stay off its devices
  std::uint32_t slot;             // row of the session and listener tables
  std::uint32_t flags;            // kSessionOperator, kWelcomeLiveness
};
static_assert(sizeof(Welcome) == 32);

// The last descriptor is the liveness page (liveness_page.h): one word for each slot of the session table.
inline constexpr std::uint32_t kWelcomeLiveness = 1U << 16;

struct Listen {
  std::uint64_t device_mask;  // 0 stops listening; all ones: every device
};
static_assert(sizeof(Listen) == 8);

struct OpenDevice {
  char name[kDeviceNameBytes];  // exact name, or its number in the device table in decimal
};
static_assert(sizeof(OpenDevice) == 240);

inline constexpr std::uint32_t kListRecords = 1;  // single records too, not only sums
inline constexpr std::uint32_t kMaxListedRecords = 65'536;

struct ListAllocations {
  std::uint32_t flags;
  std::uint32_t max_records;      // of all sessions together; 0, or more than kMaxListedRecords: that many
  std::int32_t pid;               // of this process alone, as wardend sees it; 0: of all
  std::uint32_t min_age_ms;       // single records at least this old, of sessions; the bridge's have no age
  char device[kDeviceNameBytes];  // on this device alone: as in OpenDevice; empty: on all
};
static_assert(sizeof(ListAllocations) == 256);

struct DeviceOpened {
  std::uint32_t index;
  std::uint32_t reserved;
  std::uint64_t epoch;
};
static_assert(sizeof(DeviceOpened) == 16);

struct TileAccess {
  std::uint32_t device_index;
  std::uint32_t length_bytes;  // of a read; of a write the tail's length must agree
  std::uint64_t epoch;
  std::uint64_t address;
  std::uint8_t x, y;  // or the first corner of a rectangle
  std::uint8_t last_x, last_y;
  std::uint32_t reserved;
};
static_assert(sizeof(TileAccess) == 32);

enum class TimeoutPolicy : std::uint32_t { kProceed = 0, kAbort = 1, kKill = 2 };
enum class ConflictPolicy : std::uint32_t { kWait = 0, kRefuse = 1 };  // another reset is under way

struct ResetRequest {
  std::uint64_t token;             // random; the same token names the same reset
  std::uint32_t timeout_ms;        // for acknowledgements
  std::uint32_t extension_cap_ms;  // how much listeners may add to that altogether
  std::uint32_t on_timeout;        // TimeoutPolicy
  std::uint32_t on_conflict;       // ConflictPolicy
  std::uint64_t reserved;
};
static_assert(sizeof(ResetRequest) == 32);

struct ResetStarted {
  std::uint64_t reset_id;
};
static_assert(sizeof(ResetStarted) == 8);

struct ReportRequest {
  std::uint64_t reset_id;
};
static_assert(sizeof(ReportRequest) == 8);

struct ExtendRequest {
  std::uint64_t reset_id;
  std::uint32_t wanted_ms;
  std::uint32_t reserved;
};
static_assert(sizeof(ExtendRequest) == 16);

struct ExtendGranted {
  std::uint32_t granted_ms;  // may be less than wanted, never more
  std::uint32_t reserved;
};
static_assert(sizeof(ExtendGranted) == 8);

// Windows and buffers are named by a number of the client's choice, never 0 and never used again in its session: a
// request that is repeated means the same one.
struct ReserveWindow {
  std::uint32_t device_index;
  std::uint8_t size;       // WindowClass
  std::uint8_t noc;        // 0 or 1
  std::uint8_t ordering;   // WindowOrdering
  std::uint8_t multicast;  // 1: to every Tensix tile of the rectangle; write only
  std::uint64_t epoch;
  std::uint64_t number;
  std::uint64_t base;  // address in the tile, a multiple of the window's size
  std::uint8_t x, y;   // or the first corner of a rectangle
  std::uint8_t last_x, last_y;
  std::uint32_t reserved;
};
static_assert(sizeof(ReserveWindow) == 40);

enum class WindowClass : std::uint8_t { k1M = 0, k2M = 1, k16M = 2 };
enum class WindowOrdering : std::uint8_t { kDefault = 0, kStrict = 1, kPosted = 2 };

struct WindowReserved {
  std::uint64_t size_bytes;
};
static_assert(sizeof(WindowReserved) == 8);

struct ReleaseWindow {
  std::uint64_t number;
};
static_assert(sizeof(ReleaseWindow) == 8);

struct MapDma {
  std::uint32_t device_index;
  std::uint32_t reserved;
  std::uint64_t epoch;
  std::uint64_t number;
  std::uint64_t size_bytes;  // a multiple of the page size
};
static_assert(sizeof(MapDma) == 32);

struct DmaMapped {
  std::uint64_t iova;
  std::uint64_t size_bytes;
  std::uint64_t address;  // where a core of the card finds the buffer: at this address of the tile
  std::uint8_t x, y;
  std::uint8_t reserved[6];
};
static_assert(sizeof(DmaMapped) == 32);

struct UnmapDma {
  std::uint64_t number;
};
static_assert(sizeof(UnmapDma) == 8);

inline constexpr std::size_t kMaxBatchOperations = 512;
inline constexpr std::size_t kMaxBatchBytes = 32 * 1024;  // of data written, and of data read, by one batch
inline constexpr std::size_t kMaxBatchTextBytes = 1024;
inline constexpr std::uint32_t kBatchNotRun = ~std::uint32_t{0};

enum class BatchKind : std::uint32_t {
  kRead = 1,
  kWrite = 2,
  kRead32 = 3,
  kWrite32 = 4,
  kBroadcast = 5,
  kWindowRead = 6,
  kWindowWrite = 7,
  kWindowRead32 = 8,
  kWindowWrite32 = 9,
};

// Followed by the operations, then by the data of all writes, end to end in their order.
struct Batch {
  std::uint32_t device_index;
  std::uint32_t operation_count;
  std::uint64_t epoch;
};
static_assert(sizeof(Batch) == 16);

struct BatchOperation {
  std::uint32_t kind;          // BatchKind
  std::uint32_t length_bytes;  // 4 for words
  std::uint64_t address;       // in the tile, or the offset in the window
  std::uint64_t window;        // its number, or 0
  std::uint8_t x, y;           // or the first corner of a rectangle
  std::uint8_t last_x, last_y;
  std::uint32_t reserved;
};
static_assert(sizeof(BatchOperation) == 32);

// Followed by one std::uint32_t an operation (0, a warden::Code, or kBatchNotRun for those behind the first failure),
// the data of the reads that were done, end to end, and the failure's text.
struct BatchResult {
  std::uint32_t operation_count;
  std::uint32_t done_count;  // the first operation that failed; operation_count: none did
  std::uint32_t data_bytes;
  std::uint32_t text_bytes;
};
static_assert(sizeof(BatchResult) == 16);

// For operators: the card itself, to be driven with the driver. A second grant ends the first.
struct DirectGrant {
  std::uint32_t device_index;
  std::uint32_t reserved;
  std::uint64_t epoch;
};
static_assert(sizeof(DirectGrant) == 16);

// The descriptors of the reply are those that vfio::adopt() takes under this name.
struct DirectGranted {
  char name[kDeviceNameBytes];
};
static_assert(sizeof(DirectGranted) == 240);

}  // namespace warden::shm
